// From what the user typed as MODEL to an opened engine or a tokenizer alone; files named on the
// command line.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cli/console.h"
#include "core/result.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace nibble {

/// Checks that `path` is a GGUF model, or a folder with the file that the command needs first,
/// before anything is opened. Errors: kNotFound (nothing there, or no such file), kInvalidArgument
/// (another file; a folder of several GGUF models).
Status check_model_folder(const std::string& path, std::string_view needed_file = "config.json");

/// Threads and CPU implementation as the user asked for them.
EngineOptions engine_options(const GeneralOptions& general);

/// Checks the folder and opens it with the threads and the CPU implementation that were asked for.
/// Without `requires_tokenizer` a folder without tokenizer.json opens too.
Result<std::unique_ptr<Engine>> open_engine(const std::string& path, const GeneralOptions& general,
                                            Console& console, bool requires_tokenizer = true);

/// The tokenizer of a folder, of a GGUF file, or of a tokenizer.json given itself. No weight is
/// touched.
Result<Tokenizer> open_tokenizer(const std::string& path);

/// Reads a file named as an argument. Errors: kInvalidArgument where there is none (a bad argument,
/// not a missing model), and those of read_file.
Result<std::string> read_argument_file(const std::string& path);

/// Everything on stdin until its end.
Result<std::string> read_stdin();

}  // namespace nibble

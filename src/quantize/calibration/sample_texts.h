// The texts that calibration reads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "quantize/calibration.h"
#include "tokenizer/tokenizer.h"

namespace nibble {

/// All documents of the options' path, or of the bundled text, in order: a file of JSON lines has
/// one a line, any other file is one, a folder has those of its *.txt, *.md and *.jsonl files by
/// name. Empty ones are left out. Errors: kInvalidArgument (nothing there, no text), kCorrupt (a
/// line that is not as expected), kLimit, kPermission, kIo.
Result<std::vector<std::string>> read_documents(const CalibrationOptions& options);

/// At most n_samples pieces of at most n_tokens tokens: of evenly spaced documents their
/// beginnings, or where there are fewer documents than samples, evenly spaced pieces of each.
/// Errors: kInvalidArgument (a document is not UTF-8), those of Tokenizer::encode.
Result<std::vector<std::vector<int32_t>>> sample_tokens(const std::vector<std::string>& documents,
                                                        const Tokenizer& tokenizer,
                                                        const CalibrationOptions& options);

}  // namespace nibble

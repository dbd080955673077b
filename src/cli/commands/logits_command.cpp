// `nibble logits`: the logits of every position of a token sequence, as a safetensors file.
#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "cli/commands/make_commands.h"
#include "cli/model_source.h"
#include "cli/token_ids.h"
#include "engine/logits_file.h"

namespace nibble {
namespace {

class LogitsCommand : public Command {
 public:
  void declare(ArgumentParser& parser) override {
    parser.positional("MODEL", model_, "Checkpoint folder or GGUF file");
    parser.option("--ids", ids_, "Token ids, separated by commas or blanks", "LIST",
                  Presence::kRequired);
    parser.choice("--precision", precision_, {"auto", "f32"},
                  "f32 runs the scalar reference; auto the fastest implementation");
    parser.option("-o,--output", output_,
                  "File to write: one tensor `logits` [positions, vocabulary], F32; an existing "
                  "file is replaced",
                  "FILE", Presence::kRequired);
  }

  Result<int> run(Console& console, const GeneralOptions& general) override {
    ASSIGN_OR_RETURN(const std::vector<int32_t> ids, parse_token_ids(ids_));
    RETURN_IF_ERROR(check_model_folder(model_));
    RETURN_IF_ERROR(check_output());
    EngineOptions options = engine_options(general);
    options.requires_tokenizer = false;
    if (precision_ == "f32") options.cpu_implementation = "scalar";
    ASSIGN_OR_RETURN(const auto engine, Engine::open(model_, options, console.progress()));
    console.finish_progress();
    RETURN_IF_ERROR(write_logits_file(*engine, ids, output_));

    const auto vocab_size = static_cast<uint64_t>(engine->config().vocab_size);
    console.print_json({{"output", output_},
                        {"shape", {ids.size(), vocab_size}},
                        {"backend", engine->backend_description()}});
    console.print(fmt::format("{}: logits [{}, {}] F32\n", output_, ids.size(), vocab_size));
    return 0;
  }

 private:
  /// Before the model runs rather than after.
  Status check_output() const {
    const std::filesystem::path path(output_);
    const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) {
      return Error(ErrorCode::kInvalidArgument, "is a folder; expected the name of a file",
                   output_);
    }
    if (std::filesystem::is_directory(folder, ignored)) return {};
    return Error(ErrorCode::kInvalidArgument,
                 "does not exist, but should hold the output file; create it first",
                 folder.string());
  }

  std::string model_;
  std::string ids_;
  std::string precision_ = "auto";
  std::string output_;
};

}  // namespace

std::unique_ptr<Command> make_logits_command() { return std::make_unique<LogitsCommand>(); }

}  // namespace nibble

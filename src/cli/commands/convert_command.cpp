// `nibble convert`: another dialect or container, the same codes and scales.
#include <fmt/format.h>

#include "cli/commands/make_commands.h"
#include "cli/model_source.h"
#include "quantize/convert.h"

namespace nibble {
namespace {

class ConvertCommand : public Command {
 public:
  void declare(ArgumentParser& parser) override {
    parser.positional("IN", job_.source, "Checkpoint folder or GGUF file to read");
    parser.positional("OUT", job_.destination,
                      "Folder to write, or a file that ends in .gguf; it exists only when it is "
                      "whole");
    parser.choice("--to", job_.dialect, convert_dialects(),
                  "What to write; hf is a folder with nothing quantized");
    parser.flag("--dequantize", job_.dequantize,
                "Store the values of quantized matrices as BF16 (--to hf, gguf)");
    parser.choice("--outtype", job_.plain_type, convert_plain_types(),
                  "Type of unquantized matrices (--to gguf)");
    parser.flag("--keep-unequal", job_.keep_unequal,
                "Write matrices that engines fuse even where their tensor scales differ");
    parser.flag("--drop-cache-scales", job_.drop_cache_scales,
                "Leave the scales of an FP8 key/value cache out");
    parser.flag("--force", job_.force, "Replace an existing OUT");
  }

  Result<int> run(Console& console, const GeneralOptions& general) override {
    RETURN_IF_ERROR(check_model_folder(job_.source));
    if (job_.dialect.empty()) {
      return Error(
          ErrorCode::kInvalidArgument,
          fmt::format("say what to write with --to: {}", fmt::join(convert_dialects(), ", ")),
          "--to");
    }
    ASSIGN_OR_RETURN(const ConvertReport report, run_convert(job_, console.progress()));
    Json json = convert_json(report);
    json["output"] = job_.destination;
    console.print_json(json);
    console.print(general.quiet ? job_.destination + "\n"
                                : convert_text(report) + job_.destination + "\n");
    return 0;
  }

 private:
  ConvertJob job_;
};

}  // namespace

std::unique_ptr<Command> make_convert_command() { return std::make_unique<ConvertCommand>(); }

}  // namespace nibble

// `nibble verify`: reopens an export and proves it, alone or against its source.
#include "cli/commands/make_commands.h"
#include "cli/exit_code.h"
#include "cli/model_source.h"
#include "quantize/verify.h"

namespace nibble {
namespace {

class VerifyCommand : public Command {
 public:
  void declare(ArgumentParser& parser) override {
    parser.positional("DST", folder_, "Folder to look at");
    parser.option("--source", source_, "The checkpoint it was made from", "SRC");
  }

  Result<int> run(Console& console, const GeneralOptions& general) override {
    RETURN_IF_ERROR(check_model_folder(folder_));
    if (source_) RETURN_IF_ERROR(check_model_folder(*source_));
    ASSIGN_OR_RETURN(const VerifyReport report,
                     verify_checkpoint(folder_, source_, general.n_threads, console.progress()));
    console.print_json(verify_json(report));
    console.print(verify_text(report));
    return static_cast<int>(report.ok() ? ExitCode::kOk : ExitCode::kVerificationFailed);
  }

 private:
  std::string folder_;
  std::optional<std::string> source_;
};

}  // namespace

std::unique_ptr<Command> make_verify_command() { return std::make_unique<VerifyCommand>(); }

}  // namespace nibble

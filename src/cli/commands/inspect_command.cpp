// `nibble inspect`: what a checkpoint folder holds, from its headers.
#include "cli/commands/make_commands.h"
#include "cli/model_source.h"
#include "doctor/inspect.h"

namespace nibble {
namespace {

class InspectCommand : public Command {
 public:
  void declare(ArgumentParser& parser) override {
    parser.positional("DIR", folder_, "Checkpoint folder or GGUF file");
  }

  Result<int> run(Console& console, const GeneralOptions&) override {
    RETURN_IF_ERROR(check_model_folder(folder_));
    ASSIGN_OR_RETURN(const InspectReport report, inspect_checkpoint(folder_));
    console.print_json(inspect_json(report));
    console.print(inspect_text(report));
    return 0;
  }

 private:
  std::string folder_;
};

}  // namespace

std::unique_ptr<Command> make_inspect_command() { return std::make_unique<InspectCommand>(); }

}  // namespace nibble

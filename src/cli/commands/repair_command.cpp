// `nibble repair`: mends what a folder says of itself.
#include "cli/commands/make_commands.h"
#include "cli/model_source.h"
#include "doctor/repair.h"

namespace nibble {
namespace {

class RepairCommand : public Command {
 public:
  void declare(ArgumentParser& parser) override {
    parser.positional("DIR", folder_, "Checkpoint folder to mend");
    parser.option("--base", options_.base, "Folder of the base model, for missing files", "FOLDER");
    parser.flag("--dry-run", options_.dry_run, "Print what would be changed and change nothing");
    parser.flag("--no-backup", no_backup_, "Do not keep changed files as NAME.before-repair");
  }

  Result<int> run(Console& console, const GeneralOptions&) override {
    RETURN_IF_ERROR(check_model_folder(folder_));
    options_.keep_backup = !no_backup_;
    ASSIGN_OR_RETURN(const RepairReport report, repair_checkpoint(folder_, options_));
    console.print_json(repair_json(report));
    console.print(repair_text(report));
    return 0;
  }

 private:
  std::string folder_;
  RepairOptions options_;
  bool no_backup_ = false;
};

}  // namespace

std::unique_ptr<Command> make_repair_command() { return std::make_unique<RepairCommand>(); }

}  // namespace nibble

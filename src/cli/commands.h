// The commands of the program: one class each in cli/commands/, listed in one array.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "cli/argument_parser.h"
#include "cli/console.h"
#include "core/result.h"

namespace nibble {

/// One command, made for one call: it declares its arguments as members, then runs.
class Command {
 public:
  virtual ~Command() = default;
  virtual void declare(ArgumentParser& parser) = 0;
  /// The exit code, or the error that decides it.
  virtual Result<int> run(Console& console, const GeneralOptions& general) = 0;
};

/// A row of the list.
struct CommandEntry {
  std::string_view name;
  std::string_view summary;   ///< one line
  std::string_view examples;  ///< whole command lines, for --help
  std::unique_ptr<Command> (*make)();
};

/// Every command, in the order of the program's help.
std::span<const CommandEntry> commands();

}  // namespace nibble

#include "cli/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <new>
#include <vector>

#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/version.h"
#include "core/log.h"
#include "core/nearest_name.h"

namespace nibble {
namespace {

std::string program_help() {
  std::string text =
      "nibble turns BF16 checkpoints of the Qwen3.5 family into NVFP4, runs them, and compares "
      "them "
      "with the original.\n\nUsage: nibble COMMAND [arguments]\n\nCommands:\n";
  for (const CommandEntry& entry : commands()) {
    text += fmt::format("  {:<10} {}\n", entry.name, entry.summary);
  }
  text +=
      "  help       Print this list, or the help of one command\n\n"
      "nibble COMMAND --help explains one command; nibble --version tells the version.\n\n";
  return text + exit_code_help();
}

void print_text(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

const CommandEntry* find_command(std::string_view name) {
  const std::span<const CommandEntry> all = commands();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const CommandEntry& entry) { return entry.name == name; });
  return found == all.end() ? nullptr : &*found;
}

Error unknown_command(const std::string& name) {
  std::vector<std::string> names;
  for (const CommandEntry& entry : commands()) names.emplace_back(entry.name);
  const std::optional<std::string> near = nearest_name(name, names);
  return Error(ErrorCode::kInvalidArgument,
               near ? fmt::format("unknown command \"{}\": did you mean {}?", name, *near)
                    : fmt::format("unknown command \"{}\": see nibble --help", name));
}

LogLevel parse_log_level(std::string_view name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "info") return LogLevel::kInfo;
  if (name == "error") return LogLevel::kError;
  if (name == "off") return LogLevel::kOff;
  return LogLevel::kWarning;
}

/// --json decides how even an error in the arguments is reported.
bool asks_for_json(std::span<const std::string> arguments) {
  return std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
}

Result<int> run_declared(Command& command, const GeneralOptions& general) {
  RETURN_IF_ERROR(general.check());
  Console console(general);
  // Containers that grow with the model are the one place where memory can run out without a
  // Result; the exception stops here.
  try {
    ASSIGN_OR_RETURN(const int exit_code, command.run(console, general));
    RETURN_IF_ERROR(console.flush());
    return exit_code;
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory, "not enough memory for this command");
  }
}

int run_command(const CommandEntry& entry, std::span<const std::string> arguments) {
  const std::unique_ptr<Command> command = entry.make();
  GeneralOptions general;
  ArgumentParser parser(entry.name, entry.summary);
  command->declare(parser);
  general.declare(parser);
  parser.footer(fmt::format("\nExamples:\n{}", entry.examples));

  const auto fail = [&](const Error& error) {
    const int exit_code = exit_code_of(error);
    report_error(error, entry.name, exit_code, asks_for_json(arguments));
    return exit_code;
  };
  const Result<std::optional<std::string>> help = parser.parse(arguments);
  if (!help) return fail(help.error());
  if (*help) {
    print_text(**help);
    return 0;
  }
  set_log_level(parse_log_level(general.log_level));
  const Result<int> exit_code = run_declared(*command, general);
  return exit_code ? *exit_code : fail(exit_code.error());
}

}  // namespace

int run_program(std::span<const std::string> arguments) {
  const auto fail = [&](const Error& error) {
    const int exit_code = exit_code_of(error);
    report_error(error, "", exit_code, asks_for_json(arguments));
    return exit_code;
  };
  if (arguments.empty()) {
    fmt::print(stderr, "{}", program_help());
    return static_cast<int>(ExitCode::kBadArguments);
  }
  const std::string& first = arguments.front();
  if (first == "--version" || first == "version") {
    print_text(fmt::format("nibble {}\n", kVersion));
    return 0;
  }
  const bool wants_help = first == "help" || first == "--help" || first == "-h";
  if (wants_help && arguments.size() < 2) {
    print_text(program_help());
    return 0;
  }
  const std::string& name = wants_help ? arguments[1] : first;
  const CommandEntry* const entry = find_command(name);
  if (entry == nullptr) return fail(unknown_command(name));
  if (wants_help) return run_command(*entry, std::vector<std::string>{"--help"});
  return run_command(*entry, arguments.subspan(1));
}

}  // namespace nibble

// Declares and reads the arguments of one command: a thin wall around the parsing library, so that
// only one source file pays for its header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace nibble {

/// Whether an argument may be left out.
enum class Presence { kRequired, kOptional };

/// Values are borrowed: they must outlive parse(), which fills them. `names` is what the user
/// types, aliases separated by commas ("-n,--max-tokens"). "--x=value" and "--x value" both work.
class ArgumentParser {
 public:
  ArgumentParser(std::string_view command, std::string_view description);
  ~ArgumentParser();

  void positional(std::string_view name, std::string& value, std::string_view help,
                  Presence presence = Presence::kRequired);
  void positional(std::string_view name, std::optional<std::string>& value, std::string_view help);
  void positional(std::string_view name, std::vector<std::string>& values, std::string_view help);

  void option(std::string_view names, std::string& value, std::string_view help,
              std::string_view value_name = "TEXT", Presence presence = Presence::kOptional);
  void option(std::string_view names, std::optional<std::string>& value, std::string_view help,
              std::string_view value_name = "TEXT");
  void option(std::string_view names, std::optional<double>& value, std::string_view help);
  void option(std::string_view names, std::optional<uint64_t>& value, std::string_view help);
  void option(std::string_view names, size_t& value, std::string_view help);
  /// May be given several times, one value each.
  void option(std::string_view names, std::vector<std::string>& values, std::string_view help,
              std::string_view value_name);
  /// One of `allowed`; the error and the help list them.
  void choice(std::string_view names, std::string& value,
              const std::vector<std::string_view>& allowed, std::string_view help);
  void flag(std::string_view names, bool& value, std::string_view help);

  /// The environment variable that stands in for an option not given. `name` without dashes.
  void environment(std::string_view name, const char* variable);
  /// Heading of --help under which the arguments declared from now on stand.
  void group(std::string_view heading);
  /// The end of --help.
  void footer(std::string_view text);

  /// Reads the arguments after the command's name. Yields the help text if it was asked for.
  /// Errors: kInvalidArgument; an unknown option comes with the nearest known one.
  Result<std::optional<std::string>> parse(std::span<const std::string> arguments);

  std::string help() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nibble

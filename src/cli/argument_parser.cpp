#include "cli/argument_parser.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <system_error>
#include <utility>

#include "core/nearest_name.h"

namespace nibble {

namespace {

bool is_count(const std::string& text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && rest == end;
}

}  // namespace

struct ArgumentParser::Impl {
  CLI::App app;
  std::string group = "Options";

  Impl(std::string_view command, std::string_view description)
      : app(std::string(description), "nibble " + std::string(command)) {
    app.set_help_flag("-h,--help", "Print this help and leave");
    app.get_formatter()->column_width(34);
    app.get_formatter()->label("OPTIONS", "options");
    app.get_formatter()->label("REQUIRED", "(required)");
    app.allow_extras();  // reported by unexpected_argument() with a suggestion
  }

  template <typename T>
  CLI::Option* add(std::string_view names, T& value, std::string_view help,
                   std::string_view value_name) {
    return app.add_option(std::string(names), value, std::string(help))
        ->type_name(std::string(value_name))
        ->group(group);
  }

  /// The library would take "-1" for the largest number there is.
  template <typename T>
  void add_count(std::string_view names, T& value, std::string_view help) {
    const auto check = [](const std::string& given) {
      if (given.starts_with('-')) return given + " is negative";
      return is_count(given) ? std::string() : fmt::format("\"{}\" is not a whole number", given);
    };
    add(names, value, help, "N")->check(CLI::Validator(check, ""));
  }

  std::vector<std::string> option_names() const {
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    return names;
  }

  Error unexpected_argument(const std::string& argument) const {
    if (!argument.starts_with('-') || argument == "-") {
      return Error(
          ErrorCode::kInvalidArgument,
          fmt::format("unexpected argument \"{}\": see {} --help", argument, app.get_name()));
    }
    const std::string typed = argument.substr(0, argument.find('='));
    const std::optional<std::string> near = nearest_name(typed, option_names());
    return Error(ErrorCode::kInvalidArgument,
                 near ? fmt::format("unknown option {}: did you mean {}?", typed, *near)
                      : fmt::format("unknown option {}: see {} --help", typed, app.get_name()));
  }
};

ArgumentParser::ArgumentParser(std::string_view command, std::string_view description)
    : impl_(std::make_unique<Impl>(command, description)) {}
ArgumentParser::~ArgumentParser() = default;

void ArgumentParser::positional(std::string_view name, std::string& value, std::string_view help,
                                Presence presence) {
  impl_->add(name, value, help, "")->required(presence == Presence::kRequired)->group("Arguments");
}

void ArgumentParser::positional(std::string_view name, std::optional<std::string>& value,
                                std::string_view help) {
  impl_->add(name, value, help, "")->group("Arguments");
}

void ArgumentParser::positional(std::string_view name, std::vector<std::string>& values,
                                std::string_view help) {
  impl_->add(name, values, help, "")->group("Arguments");
}

void ArgumentParser::option(std::string_view names, std::string& value, std::string_view help,
                            std::string_view value_name, Presence presence) {
  impl_->add(names, value, help, value_name)->required(presence == Presence::kRequired);
}

void ArgumentParser::option(std::string_view names, std::optional<std::string>& value,
                            std::string_view help, std::string_view value_name) {
  impl_->add(names, value, help, value_name);
}

void ArgumentParser::option(std::string_view names, std::optional<double>& value,
                            std::string_view help) {
  impl_->add(names, value, help, "X");
}

void ArgumentParser::option(std::string_view names, std::optional<uint64_t>& value,
                            std::string_view help) {
  impl_->add_count(names, value, help);
}

void ArgumentParser::option(std::string_view names, size_t& value, std::string_view help) {
  impl_->add_count(names, value, help);
}

void ArgumentParser::option(std::string_view names, std::vector<std::string>& values,
                            std::string_view help, std::string_view value_name) {
  impl_->add(names, values, help, value_name)->allow_extra_args(false);
}

void ArgumentParser::choice(std::string_view names, std::string& value,
                            const std::vector<std::string_view>& allowed, std::string_view help) {
  const std::vector<std::string> list(allowed.begin(), allowed.end());
  const auto check = [list](const std::string& given) {
    if (std::find(list.begin(), list.end(), given) != list.end()) return std::string();
    return fmt::format("\"{}\" is not one of {}", given, fmt::join(list, ", "));
  };
  impl_->add(names, value, help, fmt::format("{}", fmt::join(list, "|")))
      ->check(CLI::Validator(check, ""));
}

void ArgumentParser::flag(std::string_view names, bool& value, std::string_view help) {
  impl_->app.add_flag(std::string(names), value, std::string(help))->group(impl_->group);
}

void ArgumentParser::environment(std::string_view name, const char* variable) {
  impl_->app.get_option("--" + std::string(name))->envname(variable);
}

void ArgumentParser::group(std::string_view heading) { impl_->group = heading; }

void ArgumentParser::footer(std::string_view text) { impl_->app.footer(std::string(text)); }

std::string ArgumentParser::help() const { return impl_->app.help(); }

Result<std::optional<std::string>> ArgumentParser::parse(std::span<const std::string> arguments) {
  // The library takes arguments from the back.
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  std::optional<std::string> text;
  try {
    impl_->app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    text = help();
  } catch (const CLI::Error& error) {
    // A mistyped option explains a missing value better than the missing value does.
    for (const std::string& argument : impl_->app.remaining()) {
      if (argument.starts_with("--")) return impl_->unexpected_argument(argument);
    }
    return Error(ErrorCode::kInvalidArgument, error.what());
  }
  if (!text && impl_->app.remaining_size() > 0) {
    return impl_->unexpected_argument(impl_->app.remaining().front());
  }
  return text;
}

}  // namespace nibble

#include "chat/jinja/globals.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "chat/jinja/failure.h"
#include "chat/jinja/items.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/parameters.h"
#include "chat/jinja/text.h"

namespace nibble::jinja {
namespace {

constexpr int64_t kMaxRange = 100000;
constexpr int64_t kMaxRangeBound = int64_t{1}
                                   << 53;  // keeps the arithmetic on bounds from overflow

Value raise_exception(Runtime& rt, const Arguments& arguments) {
  const Parameters args("raise_exception", arguments, {"message"}, 1);
  fail(to_text(rt, args.get(0)));
}

Value make_range(Runtime& rt, const Arguments& arguments) {
  const auto& given = arguments.positional;
  if (!arguments.named.empty()) fail("range() takes no keyword arguments");
  if (given.empty()) fail("range expected at least 1 argument, got 0");
  if (given.size() > 3)
    fail(fmt::format("range expected at most 3 arguments, got {}", given.size()));
  for (const Value& bound : given) {
    if (std::abs(static_cast<double>(to_index(bound))) > static_cast<double>(kMaxRangeBound)) {
      fail_limit("range() takes no bounds beyond 2**53");
    }
  }
  const int64_t start = given.size() > 1 ? to_index(given[0]) : 0;
  const int64_t stop = to_index(given[given.size() > 1 ? 1 : 0]);
  const int64_t step = given.size() > 2 ? to_index(given[2]) : 1;
  if (step == 0) fail("range() arg 3 must not be zero");
  const Value range = rt.range(start, stop, step);
  if (range.as<RangeObject>().n_items() > kMaxRange) {
    fail(fmt::format("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({}).",
                     kMaxRange));
  }
  return range;
}

// dict(mapping or pairs, name=value, ...)
std::shared_ptr<DictObject> build_dict(Runtime& rt, const Arguments& arguments) {
  if (arguments.positional.size() > 1) {
    fail(fmt::format("dict expected at most 1 argument, got {}", arguments.positional.size()));
  }
  auto dict = std::make_shared<DictObject>();
  for (const Value& source : arguments.positional) {
    if (source.is(Kind::kDict)) {
      for (const auto& [key, value] : source.as<DictObject>().items) dict->set(rt, key, value);
      continue;
    }
    ItemReader reader(source);
    for (Value pair; reader.next(rt, pair);) {
      const std::vector<Value> parts = items_of(rt, pair);
      if (parts.size() != 2) {
        fail(fmt::format("dictionary update sequence element has length {}; 2 is required",
                         parts.size()));
      }
      dict->set(rt, parts[0], parts[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) dict->set(rt, rt.string(name), value);
  return dict;
}

Value make_dict(Runtime& rt, const Arguments& arguments) {
  return rt.dict(build_dict(rt, arguments));
}

Value make_namespace(Runtime& rt, const Arguments& arguments) {
  auto object = std::make_shared<NamespaceObject>();
  const std::shared_ptr<DictObject> attributes = build_dict(rt, arguments);
  for (const auto& [key, value] : attributes->items) {
    const std::string name = to_text(rt, key);
    check_namespace_name(name);
    object->attributes.emplace_back(name, value);
  }
  return rt.new_namespace(std::move(object));
}

uint32_t depth_of(const std::vector<Value>& values) {
  uint32_t depth = 0;
  for (const Value& value : values) depth = std::max(depth, value.depth());
  return depth + 1;
}

Value make_cycler(Runtime& rt, const Arguments& arguments) {
  if (!arguments.named.empty()) fail("cycler() takes no keyword arguments");
  if (arguments.positional.empty()) fail("at least one item has to be provided");
  struct State {
    std::vector<Value> items;
    size_t at = 0;
  };
  auto state = std::make_shared<State>(State{arguments.positional, 0});
  const uint32_t depth = depth_of(state->items);
  auto object = std::make_shared<CallableObject>();
  object->name = "cycler";
  object->type_name = "Cycler";
  object->attribute = [state, depth](Runtime& run, std::string_view name, Value& out) {
    if (name == "current") {
      out = state->items[state->at];
    } else if (name == "next") {
      const auto next = [state](Runtime&, const Arguments&) {
        const Value item = state->items[state->at];
        state->at = (state->at + 1) % state->items.size();
        return item;
      };
      out = run.function("next", next, depth);
    } else if (name == "reset") {
      const auto reset = [state](Runtime&, const Arguments&) {
        state->at = 0;
        return Value::none();
      };
      out = run.function("reset", reset, depth);
    } else {
      return false;
    }
    return true;
  };
  rt.adopt(*object, arguments.positional.size() * sizeof(Value), depth);
  return Value::object(Kind::kInstance, std::move(object));
}

Value make_joiner(Runtime& rt, const Arguments& arguments) {
  const Parameters args("joiner", arguments, {"sep"});
  const Value separator = args.get(0, rt.string(", "));
  auto is_used = std::make_shared<bool>(false);
  return rt.function(
      "joiner",
      [separator, is_used](Runtime& run, const Arguments&) {
        if (std::exchange(*is_used, true)) return separator;
        return run.string("");
      },
      separator.depth() + 1);
}

std::tm local_time(const RenderOptions& options) {
  if (options.local_time) return *options.local_time;
  const std::time_t now = std::time(nullptr);
  std::tm out{};
  localtime_r(&now, &out);
  return out;
}

// One directive at a time, so that the microseconds and the absent time zone can be filled in.
Value format_time(Runtime& rt, const Arguments& arguments) {
  const Parameters args("strftime_now", arguments, {"format"}, 1);
  const std::string& format = expect_text(args.get(0), "strftime_now");
  const std::tm now = local_time(rt.options());
  std::string out;
  for (size_t at = 0; at < format.size();) {
    if (format[at] != '%' || at + 1 == format.size()) {
      out.push_back(format[at++]);
      continue;
    }
    // Flags and a width may stand between the percent sign and the letter.
    size_t end = at + 1;
    while (end < format.size() && end < at + 5 &&
           !std::isalpha(static_cast<unsigned char>(format[end])) && format[end] != '%') {
      ++end;
    }
    if (end < format.size() && (format[end] == 'E' || format[end] == 'O')) ++end;
    if (end >= format.size()) end = format.size() - 1;
    const std::string directive = format.substr(at, end + 1 - at);
    at = end + 1;
    if (directive == "%f") {
      out += "000000";
    } else if (directive != "%z" && directive != "%Z") {
      char buffer[1024];
      out.append(buffer, std::strftime(buffer, sizeof(buffer), directive.c_str(), &now));
    }
    rt.expect_bytes(out.size());
  }
  return rt.string(std::move(out));
}

Value make_lorem_ipsum(Runtime&, const Arguments&) {
  fail("lipsum() is not available: a chat template must render the same text every time");
}

struct Global {
  std::string_view name;
  Value (*function)(Runtime&, const Arguments&);
};

constexpr Global kGlobals[] = {
    {"cycler", make_cycler},       {"dict", make_dict},
    {"joiner", make_joiner},       {"lipsum", make_lorem_ipsum},
    {"namespace", make_namespace}, {"raise_exception", raise_exception},
    {"range", make_range},         {"strftime_now", format_time},
};

// dict.fromkeys is found on the type as well as on its values.
Value dict_type(Runtime& runtime) {
  auto object = std::make_shared<CallableObject>();
  object->name = "dict";
  object->type_name = "TemplateDict";
  object->call = make_dict;
  object->attribute = [](Runtime& run, std::string_view name, Value& out) {
    if (name != "fromkeys") return false;
    const auto from_keys = [](Runtime& rt, const Arguments& arguments) {
      const Parameters args("fromkeys", arguments, {"iterable", "value"}, 1);
      auto dict = std::make_shared<DictObject>();
      ItemReader reader(args.get(0));
      for (Value key; reader.next(rt, key);) dict->set(rt, key, args.get(1));
      return rt.dict(std::move(dict));
    };
    out = run.function("fromkeys", from_keys);
    return true;
  };
  return runtime.callable(std::move(object), 0);
}

}  // namespace

void check_namespace_name(std::string_view name) {
  if (name.starts_with('_')) {
    fail(fmt::format(
        "Chat templates cannot store underscore-prefixed attributes on a namespace, but got '{}'. "
        "Please rename the attribute.",
        name));
  }
}

std::optional<Value> find_global(Runtime& runtime, std::string_view name) {
  if (name == "dict") return dict_type(runtime);
  for (const Global& global : kGlobals) {
    if (global.name == name) return runtime.function(std::string(name), global.function);
  }
  return std::nullopt;
}

}  // namespace nibble::jinja

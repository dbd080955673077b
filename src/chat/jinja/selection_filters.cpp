// map, select, reject and their attribute forms: streams that apply other filters or tests.
#include <fmt/format.h>

#include "chat/jinja/failure.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/items.h"
#include "chat/jinja/parameters.h"

namespace nibble::jinja {
namespace {

Value empty_stream(Runtime& runtime) {
  return runtime.stream("generator", 0, [](Runtime&, Value&) { return false; });
}

// The arguments without the first `n_names`, which name an attribute, filter or test.
Arguments without_names(const Arguments& arguments, size_t n_names) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(n_names));
  return rest;
}

uint32_t depth_of(const Value& subject, const Arguments& arguments) {
  uint32_t depth = subject.depth();
  for (const Value& value : arguments.positional) depth = std::max(depth, value.depth());
  for (const auto& [name, value] : arguments.named) depth = std::max(depth, value.depth());
  return depth + 1;
}

Value map_attribute(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("map", arguments, {"attribute", "default"}, 1);
  const Value otherwise = args.get(1);
  return rt.stream("generator", depth_of(subject, arguments),
                   [reader = ItemReader(subject), path = AttributePath(rt, args.get(0)), otherwise](
                       Runtime& run, Value& out) mutable {
                     Value item;
                     if (!reader.next(run, item)) return false;
                     out = path.read(run, item, otherwise);
                     return true;
                   });
}

Value map(Runtime& rt, const Value& subject, const Arguments& arguments) {
  if (!truth(subject)) return empty_stream(rt);
  if (arguments.positional.empty()) {
    for (const auto& [name, value] : arguments.named) {
      if (name == "attribute") return map_attribute(rt, subject, arguments);
    }
    fail("map requires a filter argument");
  }
  const Value name = arguments.positional[0];
  return rt.stream(
      "generator", depth_of(subject, arguments),
      [reader = ItemReader(subject), name, rest = without_names(arguments, 1)](Runtime& run,
                                                                               Value& out) mutable {
        Value item;
        if (!reader.next(run, item)) return false;
        const FilterFunction filter = name.is_string() ? find_filter(text_of(name)) : nullptr;
        if (filter == nullptr) {
          fail(fmt::format("No filter named '{}'.", name.is_string() ? text_of(name) : "?"));
        }
        out = filter(run, item, rest);
        return true;
      });
}

// Keeps the items (or, by attribute, those whose attribute) for which a test says `wanted`.
Value choose(Runtime& rt, const Value& subject, const Arguments& arguments, bool wanted,
             bool by_attribute) {
  if (!truth(subject)) return empty_stream(rt);
  const size_t n_names = by_attribute ? 1 : 0;
  if (arguments.positional.size() < n_names) fail("Missing parameter for attribute name");
  const AttributePath path(rt, by_attribute ? arguments.positional[0] : Value::none());
  const bool has_test = arguments.positional.size() > n_names;
  const Value name = has_test ? arguments.positional[n_names] : Value::none();
  Arguments rest = without_names(arguments, n_names + (has_test ? 1 : 0));
  return rt.stream(
      "generator", depth_of(subject, arguments),
      [reader = ItemReader(subject), path, name, has_test, wanted, rest = std::move(rest)](
          Runtime& run, Value& out) mutable {
        while (reader.next(run, out)) {
          const Value value = path.read(run, out);
          bool holds = false;
          if (!has_test) {
            holds = truth(value);
          } else {
            const TestFunction test = name.is_string() ? find_test(text_of(name)) : nullptr;
            if (test == nullptr) {
              fail(fmt::format("No test named '{}'.", name.is_string() ? text_of(name) : "?"));
            }
            holds = test(run, value, rest);
          }
          if (holds == wanted) return true;
        }
        return false;
      });
}

template <bool kWanted, bool kByAttribute>
Value choose_by(Runtime& rt, const Value& subject, const Arguments& arguments) {
  return choose(rt, subject, arguments, kWanted, kByAttribute);
}

constexpr Filter kFilters[] = {
    {"map", map},
    {"reject", choose_by<false, false>},
    {"rejectattr", choose_by<false, true>},
    {"select", choose_by<true, false>},
    {"selectattr", choose_by<true, true>},
};

}  // namespace

FilterFunction find_selection_filter(std::string_view name) { return find_in(kFilters, name); }

}  // namespace nibble::jinja

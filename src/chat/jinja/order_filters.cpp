// Filters that sort, group or compare the items of a sequence.
#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/failure.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/items.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/parameters.h"

namespace nibble::jinja {
namespace {

struct Keyed {
  Value key;
  Value item;
};

// Stable in both directions, as Python's sorted is.
void sort_by_key(Runtime& runtime, std::vector<Keyed>& items, bool backwards) {
  runtime.expect_items(items.size(), 2 * sizeof(Keyed));
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    return backwards ? less(runtime, b.key, a.key) : less(runtime, a.key, b.key);
  });
}

Value items_only(Runtime& runtime, std::vector<Keyed>& keyed) {
  std::vector<Value> out;
  out.reserve(keyed.size());
  for (Keyed& entry : keyed) out.push_back(std::move(entry.item));
  return runtime.list(std::move(out));
}

// One path for each of "a,b.c".
std::vector<AttributePath> paths_of(Runtime& runtime, const Value& attribute) {
  std::vector<AttributePath> paths;
  if (!attribute.is_string()) {
    paths.emplace_back(runtime, attribute);
    return paths;
  }
  std::string_view rest = text_of(attribute);
  while (true) {
    const size_t comma = rest.find(',');
    paths.emplace_back(runtime, runtime.string(std::string(rest.substr(0, comma))));
    if (comma == std::string_view::npos) return paths;
    rest.remove_prefix(comma + 1);
  }
}

// Python's sorted() takes only a number for `reverse`, so that sort('name') is an error rather than
// a list in the wrong order.
void expect_direction(const Parameters& args, size_t index) {
  if (args.has(index) && !args.get(index).is_integral()) {
    fail(
        fmt::format("'{}' object cannot be interpreted as an integer", type_name(args.get(index))));
  }
}

Value sort(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  expect_direction(args, 0);
  const std::vector<AttributePath> paths = paths_of(rt, args.get(2));
  std::vector<Keyed> keyed;
  ItemReader reader(subject);
  for (Value item; reader.next(rt, item);) {
    std::vector<Value> key;
    for (const AttributePath& path : paths) {
      const Value part = path.read(rt, item);
      key.push_back(args.flag(1) ? part : ignore_case(rt, part));
    }
    keyed.push_back({rt.list(std::move(key)), item});
  }
  sort_by_key(rt, keyed, args.flag(0));
  return items_only(rt, keyed);
}

Value sort_dict(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  expect_direction(args, 2);
  const std::string by = args.has(1) ? expect_text(args.get(1), "dictsort") : "key";
  if (by != "key" && by != "value") fail("You can only sort by either \"key\" or \"value\"");
  if (subject.is_undefined()) {
    fail(subject.shared() ? subject.as<UndefinedObject>().message() : "the value is undefined");
  }
  if (!subject.is(Kind::kDict)) fail("dictsort: the value is not a mapping");
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : subject.as<DictObject>().items) {
    const Value& part = by == "key" ? key : value;
    keyed.push_back({args.flag(0) ? part : ignore_case(rt, part), rt.tuple({key, value})});
  }
  sort_by_key(rt, keyed, args.flag(2));
  return items_only(rt, keyed);
}

Value extreme(Runtime& rt, const Value& subject, const Arguments& arguments, bool largest) {
  const Parameters args(largest ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const AttributePath path(rt, args.get(1));
  const auto key_of = [&](const Value& item) {
    const Value key = path.read(rt, item);
    return args.flag(0) ? key : ignore_case(rt, key);
  };
  ItemReader reader(subject);
  Value best;
  if (!reader.next(rt, best)) {
    return rt.undefined_hint("No aggregated item, sequence was empty.");
  }
  Value best_key = key_of(best);
  for (Value item; reader.next(rt, item);) {
    const Value key = key_of(item);
    if (compare(rt, largest ? Comparison::kGreater : Comparison::kLess, key, best_key)) {
      best = item;
      best_key = key;
    }
  }
  return best;
}

Value smallest(Runtime& rt, const Value& subject, const Arguments& arguments) {
  return extreme(rt, subject, arguments, false);
}

Value largest(Runtime& rt, const Value& subject, const Arguments& arguments) {
  return extreme(rt, subject, arguments, true);
}

Value unique(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("unique", arguments, {"case_sensitive", "attribute"});
  struct State {
    ItemReader reader;
    AttributePath path;
    bool is_case_sensitive;
    DictObject seen;
  };
  auto state = std::shared_ptr<State>(
      new State{ItemReader(subject), AttributePath(rt, args.get(1)), args.flag(0), {}});
  return rt.stream("generator", subject.depth() + 1, [state](Runtime& run, Value& out) {
    while (state->reader.next(run, out)) {
      Value key = state->path.read(run, out);
      if (!state->is_case_sensitive) key = ignore_case(run, key);
      if (state->seen.find(run, key) != nullptr) continue;
      state->seen.set(run, key, Value::none());
      return true;
    }
    return false;
  });
}

Value group(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const AttributePath path(rt, args.get(0));
  const auto key_of = [&](const Value& item) { return path.read(rt, item, args.get(1)); };
  const bool is_case_sensitive = args.flag(2);
  std::vector<Keyed> keyed;
  ItemReader reader(subject);
  for (Value item; reader.next(rt, item);) {
    const Value key = key_of(item);
    keyed.push_back({is_case_sensitive ? key : ignore_case(rt, key), item});
  }
  sort_by_key(rt, keyed, false);
  std::vector<Value> groups;
  for (size_t first = 0; first < keyed.size();) {
    std::vector<Value> members;
    size_t end = first;
    while (end < keyed.size() && equals(rt, keyed[first].key, keyed[end].key)) {
      members.push_back(keyed[end++].item);
    }
    // The key is shown as the group's first item has it, not in lower case.
    Value grouper = is_case_sensitive ? keyed[first].key : key_of(members[0]);
    groups.push_back(rt.group(std::move(grouper), rt.list(std::move(members))));
    // A key that differs from itself (NaN) stands alone.
    first = std::max(end, first + 1);
  }
  return rt.list(std::move(groups));
}

constexpr Filter kFilters[] = {
    {"dictsort", sort_dict}, {"groupby", group}, {"max", largest},
    {"min", smallest},       {"sort", sort},     {"unique", unique},
};

}  // namespace

FilterFunction find_order_filter(std::string_view name) { return find_in(kFilters, name); }

}  // namespace nibble::jinja

// Filters that take sequences apart or put them together.
#include <fmt/format.h>

#include "chat/jinja/attributes.h"
#include "chat/jinja/failure.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/items.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/parameters.h"

namespace nibble::jinja {
namespace {

Value count(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("length", arguments, {});
  return Value::integer(length(rt, subject));
}

Value list(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("list", arguments, {});
  return rt.list(items_of(rt, subject));
}

Value first(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("first", arguments, {});
  ItemReader reader(subject);
  Value item;
  if (reader.next(rt, item)) return item;
  return rt.undefined_hint("No first item, sequence was empty.");
}

Value last(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("last", arguments, {});
  const std::optional<int64_t> n = try_length(rt, subject);
  const bool is_indexed = subject.is_string() || subject.is(Kind::kList) ||
                          subject.is(Kind::kTuple) || subject.is(Kind::kRange);
  if (is_indexed && *n > 0) return *try_item(rt, subject, Value::integer(-1));
  const std::optional<Value> backwards = reversed(rt, subject);
  if (!backwards) fail(fmt::format("'{}' object is not reversible", type_name(subject)));
  ItemReader reader(*backwards);
  Value item;
  if (reader.next(rt, item)) return item;
  return rt.undefined_hint("No last item, sequence was empty.");
}

Value reverse(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("reverse", arguments, {});
  if (subject.is_string()) {
    return slice(rt, subject, Value::none(), Value::none(), Value::integer(-1));
  }
  if (auto backwards = reversed(rt, subject)) return *backwards;
  if (!is_iterable(subject)) fail("argument must be iterable");
  std::vector<Value> items = items_of(rt, subject);
  return rt.list({items.rbegin(), items.rend()});
}

Value sum(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("sum", arguments, {"attribute", "start"});
  const AttributePath path(rt, args.get(0));
  Value total = args.get(1, Value::integer(0));
  if (total.is_string()) fail("sum() can't sum strings [use ''.join(seq) instead]");
  ItemReader reader(subject);
  for (Value item; reader.next(rt, item);) {
    total = apply(rt, BinaryOperator::kAdd, total, path.read(rt, item));
  }
  return total;
}

Value items(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("items", arguments, {});
  const Value source = subject.is(Kind::kDict)  ? rt.view(DictViewObject::Part::kItems, subject)
                       : subject.is_undefined() ? rt.list({})
                                                : Value::none();
  return rt.stream("generator", source.depth(),
                   [reader = ItemReader(source), is_mapping = !source.is_none()](
                       Runtime& run, Value& item) mutable {
                     if (!is_mapping) fail("Can only get item pairs from a mapping.");
                     return reader.next(run, item);
                   });
}

// Rows of `size` items; the last is filled up where a filler is given.
Value batch(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t size = to_index(args.get(0));
  const Value filler = args.get(1);
  struct State {
    ItemReader reader;
    std::vector<Value> row;
    bool is_done = false;
  };
  auto state = std::make_shared<State>(State{ItemReader(subject), {}, false});
  return rt.stream("generator", subject.depth() + 1,
                   [state, size, filler](Runtime& run, Value& out) {
                     if (state->is_done) return false;
                     for (Value item; state->reader.next(run, item);) {
                       const bool is_full = static_cast<int64_t>(state->row.size()) == size;
                       if (is_full) out = run.list(std::exchange(state->row, {}));
                       state->row.push_back(item);
                       if (is_full) return true;
                     }
                     state->is_done = true;
                     if (state->row.empty()) return false;
                     const auto n = static_cast<int64_t>(state->row.size());
                     if (!filler.is_none() && n < size) {
                       run.expect_items(static_cast<uint64_t>(size), sizeof(Value));
                       state->row.resize(static_cast<size_t>(size), filler);
                     }
                     out = run.list(std::exchange(state->row, {}));
                     return true;
                   });
}

// A given number of columns, as equal in size as possible.
Value columns(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("slice", arguments, {"slices", "fill_with"}, 1);
  const int64_t n_columns = to_index(args.get(0));
  const Value filler = args.get(1);
  struct State {
    std::optional<Value> items;  // read when the first column is asked for
    int64_t column = 0;
    int64_t at = 0;
  };
  auto state = std::make_shared<State>();
  const auto next = [state, subject, n_columns, filler](Runtime& run, Value& out) {
    if (!state->items) state->items = run.list(items_of(run, subject));
    if (n_columns == 0) fail("integer division or modulo by zero");
    if (state->column >= n_columns) return false;
    const auto& all = state->items->as<SequenceObject>().items;
    const auto n = static_cast<int64_t>(all.size());
    const bool has_extra = state->column < n % n_columns;
    const int64_t end = state->at + n / n_columns + (has_extra ? 1 : 0);
    std::vector<Value> column(all.begin() + state->at, all.begin() + end);
    if (!filler.is_none() && !has_extra) column.push_back(filler);
    out = run.list(std::move(column));
    state->at = end;
    ++state->column;
    return true;
  };
  return rt.stream("generator", subject.depth() + 1, next);
}

Value attribute(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("attr", arguments, {"name"}, 1);
  const std::string& name = expect_text(args.get(0), "attr");
  if (auto found = find_attribute(rt, subject, name)) return *found;
  return rt.undefined_attribute(subject, name);
}

Value random_item(Runtime&, const Value&, const Arguments&) {
  fail(
      "the filter 'random' is not available: a chat template must render the same text every time");
}

constexpr Filter kFilters[] = {
    {"attr", attribute},     {"batch", batch},     {"count", count},   {"first", first},
    {"items", items},        {"last", last},       {"length", count},  {"list", list},
    {"random", random_item}, {"reverse", reverse}, {"slice", columns}, {"sum", sum},
};

}  // namespace

FilterFunction find_sequence_filter(std::string_view name) { return find_in(kFilters, name); }

}  // namespace nibble::jinja

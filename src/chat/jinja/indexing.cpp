// Length, items and slices of values.
#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/failure.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

struct Bounds {
  int64_t start;
  int64_t stop;
  int64_t step;
};

int64_t bound_of(const Value& value) {
  if (!value.is_integral()) {
    fail("slice indices must be integers or None or have an __index__ method");
  }
  if (!value.is(Kind::kBigInt)) return value.as_int();
  return to_big(value).is_negative() ? INT64_MIN : INT64_MAX;
}

Bounds resolve_bounds(int64_t n_items, const Value& start, const Value& stop, const Value& step) {
  Bounds out{0, 0, step.is_none() ? 1 : bound_of(step)};
  if (out.step == 0) fail("slice step cannot be zero");
  // A longer step than the value cannot reach a second item.
  out.step = std::clamp(out.step, -(n_items + 1), n_items + 1);
  const bool forward = out.step > 0;
  const auto clamp = [&](const Value& value, int64_t otherwise) {
    if (value.is_none()) return otherwise;
    int64_t at = bound_of(value);
    if (at < 0) at = at < -n_items ? -1 : at + n_items;
    if (at < 0) return forward ? int64_t{0} : int64_t{-1};
    return std::min(at, forward ? n_items : n_items - 1);
  };
  out.start = clamp(start, forward ? 0 : n_items - 1);
  out.stop = clamp(stop, forward ? n_items : -1);
  return out;
}

int64_t count_of(const Bounds& bounds) {
  RangeObject range;
  range.start = bounds.start;
  range.stop = bounds.stop;
  range.step = bounds.step;
  return range.n_items();
}

Value slice_text(Runtime& runtime, const Value& value, const Bounds& bounds) {
  const StringObject& string = value.as<StringObject>();
  const int64_t n = count_of(bounds);
  if (n == 0) return runtime.string("", string.is_markup);
  if (bounds.step == 1) {
    const auto first = static_cast<size_t>(bounds.start);
    const auto last = static_cast<size_t>(bounds.stop);
    if (string.is_ascii()) {
      return runtime.string(string.text.substr(first, last - first), string.is_markup);
    }
    runtime.step_bytes(string.text.size());
    const size_t begin = byte_of_code_point(string.text, first);
    const std::string_view rest = std::string_view(string.text).substr(begin);
    return runtime.string(std::string(rest.substr(0, byte_of_code_point(rest, last - first))),
                          string.is_markup);
  }
  runtime.step_bytes(string.text.size() * 4);
  const std::u32string chars = to_code_points(string.text);
  std::string out;
  for (int64_t i = 0; i < n; ++i) {
    append_code_point(out, chars[static_cast<size_t>(bounds.start + i * bounds.step)]);
  }
  return runtime.string(std::move(out), string.is_markup);
}

// The position of an index, or nothing if it is outside.
std::optional<size_t> position_of(const Value& key, int64_t n_items) {
  if (!key.is_integral() || key.is(Kind::kBigInt)) return std::nullopt;
  int64_t at = key.as_int();
  if (at < 0) at += n_items;
  if (at < 0 || at >= n_items) return std::nullopt;
  return static_cast<size_t>(at);
}

Value char_at(Runtime& runtime, const StringObject& string, size_t at) {
  if (string.is_ascii()) return runtime.string(std::string(1, string.text[at]), string.is_markup);
  runtime.step_bytes(string.text.size());
  const size_t begin = byte_of_code_point(string.text, at);
  size_t end = begin;
  next_code_point(string.text, end);
  return runtime.string(string.text.substr(begin, end - begin), string.is_markup);
}

bool is_hashable(const Value& value) {
  switch (value.kind()) {
    case Kind::kList:
    case Kind::kDict:
    case Kind::kDictView:
    case Kind::kNamespace:
      return false;
    case Kind::kTuple: {
      const auto& items = value.as<SequenceObject>().items;
      return std::all_of(items.begin(), items.end(), is_hashable);
    }
    default:
      return true;
  }
}

}  // namespace

std::optional<int64_t> try_length(Runtime& runtime, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(value.as<StringObject>().n_chars);
    case Kind::kBytes:
      return static_cast<int64_t>(value.as<BytesObject>().bytes.size());
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.as<SequenceObject>().items.size());
    case Kind::kDict:
      return static_cast<int64_t>(value.as<DictObject>().items.size());
    case Kind::kDictView:
      return try_length(runtime, value.as<DictViewObject>().dict);
    case Kind::kRange:
      return value.as<RangeObject>().n_items();
    case Kind::kLoop:
      return value.as<LoopObject>().length(runtime);
    default:
      return std::nullopt;
  }
}

int64_t length(Runtime& runtime, const Value& value) {
  const std::optional<int64_t> n = try_length(runtime, value);
  if (!n) fail(fmt::format("object of type '{}' has no len()", type_name(value)));
  return *n;
}

Value slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop,
            const Value& step) {
  switch (value.kind()) {
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
      break;
    case Kind::kUndefined:
      fail(value.shared() ? value.as<UndefinedObject>().message() : "the value is undefined");
    case Kind::kDict:
      fail("unhashable type: 'slice'");
    default:
      fail(fmt::format("'{}' object is not subscriptable", type_name(value)));
  }
  const Bounds bounds = resolve_bounds(length(runtime, value), start, stop, step);
  if (value.is_string()) return slice_text(runtime, value, bounds);
  if (value.is(Kind::kRange)) {
    const RangeObject& range = value.as<RangeObject>();
    return runtime.range(range.start + bounds.start * range.step,
                         range.start + bounds.stop * range.step, range.step * bounds.step);
  }
  const int64_t n = count_of(bounds);
  if (value.is(Kind::kBytes)) {
    std::string out;
    for (int64_t i = 0; i < n; ++i) {
      out.push_back(
          value.as<BytesObject>().bytes[static_cast<size_t>(bounds.start + i * bounds.step)]);
    }
    return runtime.bytes(std::move(out));
  }
  runtime.expect_items(static_cast<uint64_t>(n), sizeof(Value));
  const std::vector<Value>& items = value.as<SequenceObject>().items;
  std::vector<Value> out;
  out.reserve(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    out.push_back(items[static_cast<size_t>(bounds.start + i * bounds.step)]);
  }
  return value.is(Kind::kList) ? runtime.list(std::move(out)) : runtime.tuple(std::move(out));
}

std::optional<Value> try_item(Runtime& runtime, const Value& value, const Value& key) {
  switch (value.kind()) {
    case Kind::kUndefined:
      fail(value.shared() ? value.as<UndefinedObject>().message() : "the value is undefined");
    case Kind::kDict: {
      if (!is_hashable(key)) return std::nullopt;
      const Value* found = value.as<DictObject>().find(runtime, key);
      return found == nullptr ? std::nullopt : std::optional<Value>(*found);
    }
    case Kind::kString: {
      const StringObject& string = value.as<StringObject>();
      const auto at = position_of(key, static_cast<int64_t>(string.n_chars));
      if (!at) return std::nullopt;
      return char_at(runtime, string, *at);
    }
    case Kind::kBytes: {
      const std::string& bytes = value.as<BytesObject>().bytes;
      const auto at = position_of(key, static_cast<int64_t>(bytes.size()));
      if (!at) return std::nullopt;
      return Value::integer(static_cast<unsigned char>(bytes[*at]));
    }
    case Kind::kList:
    case Kind::kTuple: {
      const std::vector<Value>& items = value.as<SequenceObject>().items;
      const auto at = position_of(key, static_cast<int64_t>(items.size()));
      return at ? std::optional<Value>(items[*at]) : std::nullopt;
    }
    case Kind::kRange: {
      const RangeObject& range = value.as<RangeObject>();
      const auto at = position_of(key, range.n_items());
      if (!at) return std::nullopt;
      return Value::integer(range.start + static_cast<int64_t>(*at) * range.step);
    }
    default:
      return std::nullopt;
  }
}

}  // namespace nibble::jinja

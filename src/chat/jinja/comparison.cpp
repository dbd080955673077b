// Equality, order, membership and hashing of values.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "chat/jinja/failure.h"
#include "chat/jinja/items.h"
#include "chat/jinja/operators.h"

namespace nibble::jinja {
namespace {

size_t mix(size_t hash) {
  uint64_t x = hash;
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdull;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ull;
  x ^= x >> 33;
  return x;
}

size_t combine(size_t seed, size_t hash) { return mix(seed * 31 + hash); }

enum class Order : uint8_t { kLess, kEqual, kGreater, kUnordered };

template <typename T>
Order order_of(const T& a, const T& b) {
  if (a < b) return Order::kLess;
  if (b < a) return Order::kGreater;
  return a == b ? Order::kEqual : Order::kUnordered;
}

Order order_numbers(const Value& a, const Value& b) {
  const bool has_float = a.is(Kind::kFloat) || b.is(Kind::kFloat);
  const bool has_big = a.is(Kind::kBigInt) || b.is(Kind::kBigInt);
  if (has_float && has_big) return order_of(to_double(a), to_double(b));
  if (has_float) {
    // A long double holds any 64-bit integer exactly on the systems nibble runs on.
    const auto exact = [](const Value& v) {
      return v.is(Kind::kFloat) ? static_cast<long double>(v.as_float())
                                : static_cast<long double>(v.as_int());
    };
    return order_of(exact(a), exact(b));
  }
  if (has_big) return order_of(BigInt::compare(to_big(a), to_big(b)), 0);
  return order_of(a.as_int(), b.as_int());
}

bool equal_items(Runtime& runtime, const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equals(runtime, a[i], b[i])) return false;
  }
  return true;
}

bool equal_dicts(Runtime& runtime, const DictObject& a, const DictObject& b) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, value] : a.items) {
    const Value* other = b.find(runtime, key);
    if (other == nullptr || !equals(runtime, value, *other)) return false;
  }
  return true;
}

bool equal_ranges(const RangeObject& a, const RangeObject& b) {
  const int64_t n = a.n_items();
  if (n != b.n_items()) return false;
  return n == 0 || (a.start == b.start && (n == 1 || a.step == b.step));
}

// Keys and items compare as sets, values by identity.
bool equal_views(Runtime& runtime, const Value& a, const Value& b) {
  const auto& left = a.as<DictViewObject>();
  const auto& right = b.as<DictViewObject>();
  if (left.part == DictViewObject::Part::kValues || left.part != right.part) return a.same_as(b);
  if (left.part == DictViewObject::Part::kItems) return equals(runtime, left.dict, right.dict);
  const auto& keys = left.dict.as<DictObject>().items;
  const auto& others = right.dict.as<DictObject>();
  return keys.size() == others.items.size() &&
         std::all_of(keys.begin(), keys.end(),
                     [&](const auto& item) { return others.find(runtime, item.first) != nullptr; });
}

bool apply_order(Comparison op, Order order) {
  switch (op) {
    case Comparison::kLess:
      return order == Order::kLess;
    case Comparison::kLessOrEqual:
      return order == Order::kLess || order == Order::kEqual;
    case Comparison::kGreater:
      return order == Order::kGreater;
    default:
      return order == Order::kGreater || order == Order::kEqual;
  }
}

std::string_view symbol(Comparison op) {
  switch (op) {
    case Comparison::kLess:
      return "<";
    case Comparison::kLessOrEqual:
      return "<=";
    case Comparison::kGreater:
      return ">";
    default:
      return ">=";
  }
}

bool is_ordered(Runtime& runtime, Comparison op, const Value& a, const Value& b);

bool order_sequences(Runtime& runtime, Comparison op, const std::vector<Value>& a,
                     const std::vector<Value>& b) {
  const size_t n_common = std::min(a.size(), b.size());
  for (size_t i = 0; i < n_common; ++i) {
    if (!equals(runtime, a[i], b[i])) return is_ordered(runtime, op, a[i], b[i]);
  }
  return apply_order(op, order_of(a.size(), b.size()));
}

bool is_ordered(Runtime& runtime, Comparison op, const Value& a, const Value& b) {
  runtime.step();
  for (const Value& value : {a, b}) {
    if (value.is_undefined()) {
      fail(value.shared() ? value.as<UndefinedObject>().message() : "a value is undefined");
    }
  }
  if (a.is_number() && b.is_number()) return apply_order(op, order_numbers(a, b));
  if (a.is_string() && b.is_string()) {
    // The order of UTF-8 bytes is the order of code points.
    runtime.step_bytes(std::min(text_of(a).size(), text_of(b).size()));
    return apply_order(op, order_of(text_of(a).compare(text_of(b)), 0));
  }
  if (a.kind() == b.kind() && (a.is(Kind::kList) || a.is(Kind::kTuple))) {
    return order_sequences(runtime, op, a.as<SequenceObject>().items, b.as<SequenceObject>().items);
  }
  if (a.is(Kind::kBytes) && b.is(Kind::kBytes)) {
    return apply_order(op,
                       order_of(a.as<BytesObject>().bytes.compare(b.as<BytesObject>().bytes), 0));
  }
  fail(fmt::format("'{}' not supported between instances of '{}' and '{}'", symbol(op),
                   type_name(a), type_name(b)));
}

bool contains_in_range(Runtime& runtime, const RangeObject& range, const Value& item) {
  if (!item.is_number()) return false;
  if (item.is(Kind::kBigInt)) return false;
  int64_t number = 0;
  if (item.is(Kind::kFloat)) {
    const double d = item.as_float();
    if (!(std::fabs(d) < 9e18) || d != std::floor(d)) return false;
    number = static_cast<int64_t>(d);
  } else {
    number = item.as_int();
  }
  runtime.step();
  if (range.n_items() == 0) return false;
  const int64_t last = range.start + (range.n_items() - 1) * range.step;
  if (number < std::min(range.start, last) || number > std::max(range.start, last)) return false;
  return (number - range.start) % range.step == 0;
}

bool contains_in_view(Runtime& runtime, const DictViewObject& view, const Value& item) {
  const DictObject& dict = view.dict.as<DictObject>();
  switch (view.part) {
    case DictViewObject::Part::kKeys:
      return dict.find(runtime, item) != nullptr;
    case DictViewObject::Part::kValues:
      return std::any_of(dict.items.begin(), dict.items.end(),
                         [&](const auto& entry) { return equals(runtime, entry.second, item); });
    case DictViewObject::Part::kItems: {
      if (!item.is(Kind::kTuple) || item.as<SequenceObject>().items.size() != 2) return false;
      const Value* value = dict.find(runtime, item.as<SequenceObject>().items[0]);
      return value != nullptr && equals(runtime, *value, item.as<SequenceObject>().items[1]);
    }
  }
  return false;
}

}  // namespace

size_t hash_text(std::string_view text) { return mix(std::hash<std::string_view>{}(text)); }

size_t hash_value(Runtime& runtime, const Value& value) {
  runtime.step();
  switch (value.kind()) {
    case Kind::kUndefined:
      return 1;
    case Kind::kNone:
      return 2;
    case Kind::kBool:
    case Kind::kInt:
      return mix(static_cast<size_t>(value.as_int()));
    case Kind::kBigInt:
      return mix(value.as<BigIntObject>().value.hash());
    case Kind::kFloat: {
      const double d = value.as_float();
      if (!std::isfinite(d) || d != std::floor(d)) return mix(std::hash<double>{}(d));
      // Equal numbers hash alike, whatever their type.
      return hash_value(runtime, runtime.integer(BigInt::truncate(d)));
    }
    case Kind::kString:
      runtime.step_bytes(text_of(value).size());
      return hash_text(text_of(value));
    case Kind::kBytes:
      return hash_text(value.as<BytesObject>().bytes);
    case Kind::kTuple: {
      size_t hash = 7;
      for (const Value& item : value.as<SequenceObject>().items) {
        hash = combine(hash, hash_value(runtime, item));
      }
      return hash;
    }
    case Kind::kRange:
      return mix(static_cast<size_t>(value.as<RangeObject>().n_items()));
    case Kind::kList:
    case Kind::kDict:
    case Kind::kDictView:
      fail(fmt::format("unhashable type: '{}'", type_name(value)));
    default:
      return mix(std::hash<const void*>{}(value.shared().get()));
  }
}

bool equals(Runtime& runtime, const Value& left, const Value& right) {
  runtime.step();
  if (left.is_number() && right.is_number()) return order_numbers(left, right) == Order::kEqual;
  if (left.kind() != right.kind()) return false;
  if (left.shared() && left.shared() == right.shared()) return true;
  switch (left.kind()) {
    case Kind::kUndefined:
      return true;
    case Kind::kString:
      runtime.step_bytes(std::min(text_of(left).size(), text_of(right).size()));
      return text_of(left) == text_of(right);
    case Kind::kBytes:
      return left.as<BytesObject>().bytes == right.as<BytesObject>().bytes;
    case Kind::kList:
    case Kind::kTuple:
      return equal_items(runtime, left.as<SequenceObject>().items,
                         right.as<SequenceObject>().items);
    case Kind::kDict:
      return equal_dicts(runtime, left.as<DictObject>(), right.as<DictObject>());
    case Kind::kDictView:
      return equal_views(runtime, left, right);
    case Kind::kRange:
      return equal_ranges(left.as<RangeObject>(), right.as<RangeObject>());
    default:
      return left.same_as(right);
  }
}

bool less(Runtime& runtime, const Value& left, const Value& right) {
  return is_ordered(runtime, Comparison::kLess, left, right);
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kString:
      if (!item.is_string()) {
        fail(fmt::format("'in <string>' requires string as left operand, not {}", type_name(item)));
      }
      runtime.step_bytes(text_of(container).size());
      return text_of(container).find(text_of(item)) != std::string::npos;
    case Kind::kDict:
      return container.as<DictObject>().find(runtime, item) != nullptr;
    case Kind::kDictView:
      return contains_in_view(runtime, container.as<DictViewObject>(), item);
    case Kind::kRange:
      return contains_in_range(runtime, container.as<RangeObject>(), item);
    default:
      break;
  }
  if (!is_iterable(container)) {
    fail(fmt::format("argument of type '{}' is not iterable", type_name(container)));
  }
  ItemReader reader(container);
  for (Value candidate; reader.next(runtime, candidate);) {
    if (candidate.same_as(item) || equals(runtime, candidate, item)) return true;
  }
  return false;
}

bool compare(Runtime& runtime, Comparison op, const Value& left, const Value& right) {
  switch (op) {
    case Comparison::kEqual:
      return equals(runtime, left, right);
    case Comparison::kNotEqual:
      return !equals(runtime, left, right);
    case Comparison::kIn:
      return contains(runtime, right, left);
    case Comparison::kNotIn:
      return !contains(runtime, right, left);
    default:
      return is_ordered(runtime, op, left, right);
  }
}

}  // namespace nibble::jinja

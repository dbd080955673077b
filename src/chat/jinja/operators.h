// Python's operators and protocols on values: arithmetic, comparison, hashing, length, items.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "chat/jinja/runtime.h"
#include "chat/jinja/value.h"

namespace nibble::jinja {

enum class BinaryOperator : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
};

enum class Comparison : uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessOrEqual,
  kGreater,
  kGreaterOrEqual,
  kIn,
  kNotIn,
};

Value apply(Runtime& runtime, BinaryOperator op, const Value& left, const Value& right);
Value negate(Runtime& runtime, const Value& value);
Value positive(const Value& value);

bool compare(Runtime& runtime, Comparison op, const Value& left, const Value& right);
bool equals(Runtime& runtime, const Value& left, const Value& right);
bool less(Runtime& runtime, const Value& left, const Value& right);
bool contains(Runtime& runtime, const Value& container, const Value& item);

/// hash(): equal values have equal hashes; lists and dicts are refused.
size_t hash_value(Runtime& runtime, const Value& value);
size_t hash_text(std::string_view text);

/// An int of any size. The value is integral.
BigInt to_big(const Value& value);
/// float(value) of a number.
double to_double(const Value& value);

/// An index-like argument: an int or bool. `what` is for the message.
int64_t to_index(const Value& value, std::string_view what = {});

/// len(), or nothing for a value without one.
std::optional<int64_t> try_length(Runtime& runtime, const Value& value);
int64_t length(Runtime& runtime, const Value& value);

/// value[start:stop:step]; none stands for an omitted bound.
Value slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop,
            const Value& step);

/// value[index] with Python's rules, or nothing where Python raises TypeError or LookupError.
std::optional<Value> try_item(Runtime& runtime, const Value& value, const Value& key);

/// left + right for strings, escaping the unsafe side where the other is markup.
Value concatenate(Runtime& runtime, const Value& left, const Value& right);

/// text * count.
Value repeat_text(Runtime& runtime, const Value& text, int64_t count);

}  // namespace nibble::jinja

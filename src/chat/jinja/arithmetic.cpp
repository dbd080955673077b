// The arithmetic operators, on numbers as Python computes them and on sequences.
#include <fmt/format.h>

#include <cmath>

#include "chat/jinja/failure.h"
#include "chat/jinja/formatting.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/text.h"

namespace nibble::jinja {
namespace {

std::string_view symbol(BinaryOperator op) {
  switch (op) {
    case BinaryOperator::kAdd:
      return "+";
    case BinaryOperator::kSubtract:
      return "-";
    case BinaryOperator::kMultiply:
      return "*";
    case BinaryOperator::kDivide:
      return "/";
    case BinaryOperator::kFloorDivide:
      return "//";
    case BinaryOperator::kModulo:
      return "%";
    case BinaryOperator::kPower:
      return "** or pow()";
  }
  return "?";
}

[[noreturn]] void fail_operands(BinaryOperator op, const Value& left, const Value& right) {
  fail(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", symbol(op), type_name(left),
                   type_name(right)));
}

void refuse_undefined(const Value& value) {
  if (value.is_undefined()) {
    fail(value.shared() ? value.as<UndefinedObject>().message() : "a value is undefined");
  }
}

double finite_double(const Value& value) {
  const double out = to_double(value);
  if (value.is(Kind::kBigInt) && std::isinf(out)) fail("int too large to convert to float");
  return out;
}

void floor_divide_floats(double a, double b, double& quotient, double& remainder) {
  remainder = std::fmod(a, b);
  double ratio = (a - remainder) / b;
  if (remainder != 0) {
    if ((b < 0) != (remainder < 0)) {
      remainder += b;
      ratio -= 1;
    }
  } else {
    remainder = std::copysign(0.0, b);
  }
  if (ratio == 0) {
    quotient = std::copysign(0.0, a / b);
    return;
  }
  quotient = std::floor(ratio);
  if (ratio - quotient > 0.5) quotient += 1;
}

Value power_of_floats(double base, double exponent) {
  if (base == 0 && exponent < 0) fail("0.0 cannot be raised to a negative power");
  if (base < 0 && std::isfinite(base) && std::isfinite(exponent) &&
      exponent != std::floor(exponent)) {
    fail("a negative number to a fractional power is complex, which templates cannot hold");
  }
  const double out = std::pow(base, exponent);
  if (std::isinf(out) && std::isfinite(base) && std::isfinite(exponent)) {
    fail("the power is too large for a float");
  }
  return Value::number(out);
}

Value apply_to_floats(BinaryOperator op, double a, double b) {
  double quotient = 0;
  double remainder = 0;
  switch (op) {
    case BinaryOperator::kAdd:
      return Value::number(a + b);
    case BinaryOperator::kSubtract:
      return Value::number(a - b);
    case BinaryOperator::kMultiply:
      return Value::number(a * b);
    case BinaryOperator::kDivide:
      if (b == 0) fail("float division by zero");
      return Value::number(a / b);
    case BinaryOperator::kFloorDivide:
      if (b == 0) fail("float floor division by zero");
      floor_divide_floats(a, b, quotient, remainder);
      return Value::number(quotient);
    case BinaryOperator::kModulo:
      if (b == 0) fail("float modulo");
      floor_divide_floats(a, b, quotient, remainder);
      return Value::number(remainder);
    case BinaryOperator::kPower:
      return power_of_floats(a, b);
  }
  return {};
}

Value apply_to_big_integers(Runtime& runtime, BinaryOperator op, const Value& left,
                            const Value& right) {
  const BigInt a = to_big(left);
  const BigInt b = to_big(right);
  runtime.step_bytes((a.n_bits() / 8 + 8) * (b.n_bits() / 8 + 8));
  BigInt quotient;
  BigInt remainder;
  switch (op) {
    case BinaryOperator::kAdd:
      return runtime.integer(a + b);
    case BinaryOperator::kSubtract:
      return runtime.integer(a - b);
    case BinaryOperator::kMultiply:
      return runtime.integer(a * b);
    case BinaryOperator::kDivide:
      if (b.is_zero()) fail("division by zero");
      return Value::number(finite_double(left) / finite_double(right));
    case BinaryOperator::kFloorDivide:
      if (b.is_zero()) fail("integer division or modulo by zero");
      BigInt::floor_divide(a, b, quotient, remainder);
      return runtime.integer(quotient);
    case BinaryOperator::kModulo:
      if (b.is_zero()) fail("integer modulo by zero");
      BigInt::floor_divide(a, b, quotient, remainder);
      return runtime.integer(remainder);
    case BinaryOperator::kPower: {
      if (b.is_negative()) return power_of_floats(finite_double(left), finite_double(right));
      const std::optional<int64_t> exponent = b.to_int64();
      if (!exponent && a.n_bits() > 1) fail_limit("an integer grew beyond 65536 bits");
      return runtime.integer(
          BigInt::power(a, exponent ? static_cast<uint64_t>(*exponent) : (b.is_odd() ? 1 : 2)));
    }
  }
  return {};
}

// The common case without allocation; nothing where the result needs more than 64 bits.
std::optional<Value> apply_to_small_integers(BinaryOperator op, int64_t a, int64_t b) {
  int64_t out = 0;
  switch (op) {
    case BinaryOperator::kAdd:
      if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
      return Value::integer(out);
    case BinaryOperator::kSubtract:
      if (__builtin_sub_overflow(a, b, &out)) return std::nullopt;
      return Value::integer(out);
    case BinaryOperator::kMultiply:
      if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
      return Value::integer(out);
    case BinaryOperator::kFloorDivide:
    case BinaryOperator::kModulo: {
      if (b == 0 || b == -1) return std::nullopt;
      const int64_t remainder = a % b;
      const bool adjust = remainder != 0 && (remainder < 0) != (b < 0);
      if (op == BinaryOperator::kModulo) return Value::integer(adjust ? remainder + b : remainder);
      return Value::integer(a / b - (adjust ? 1 : 0));
    }
    default:
      return std::nullopt;
  }
}

Value apply_to_numbers(Runtime& runtime, BinaryOperator op, const Value& left, const Value& right) {
  if (left.is(Kind::kFloat) || right.is(Kind::kFloat)) {
    return apply_to_floats(op, finite_double(left), finite_double(right));
  }
  if (!left.is(Kind::kBigInt) && !right.is(Kind::kBigInt)) {
    if (auto out = apply_to_small_integers(op, left.as_int(), right.as_int())) return *out;
  }
  return apply_to_big_integers(runtime, op, left, right);
}

Value join_sequences(Runtime& runtime, const Value& left, const Value& right) {
  const std::vector<Value>& a = left.as<SequenceObject>().items;
  const std::vector<Value>& b = right.as<SequenceObject>().items;
  runtime.expect_items(a.size() + b.size(), sizeof(Value));
  std::vector<Value> items;
  items.reserve(a.size() + b.size());
  items.insert(items.end(), a.begin(), a.end());
  items.insert(items.end(), b.begin(), b.end());
  return left.is(Kind::kList) ? runtime.list(std::move(items)) : runtime.tuple(std::move(items));
}

bool is_sequence(const Value& value) {
  return value.is_string() || value.is(Kind::kList) || value.is(Kind::kTuple);
}

Value repeat(Runtime& runtime, const Value& sequence, const Value& count) {
  if (!count.is_integral()) {
    fail(fmt::format("can't multiply sequence by non-int of type '{}'", type_name(count)));
  }
  const int64_t n = std::max<int64_t>(0, to_index(count));
  if (sequence.is_string()) return repeat_text(runtime, sequence, n);
  const std::vector<Value>& once = sequence.as<SequenceObject>().items;
  uint64_t n_items = 0;
  if (__builtin_mul_overflow(static_cast<uint64_t>(n), once.size(), &n_items)) n_items = UINT64_MAX;
  runtime.expect_items(n_items, sizeof(Value));
  std::vector<Value> items;
  items.reserve(n_items);
  for (int64_t i = 0; i < n; ++i) items.insert(items.end(), once.begin(), once.end());
  return sequence.is(Kind::kList) ? runtime.list(std::move(items))
                                  : runtime.tuple(std::move(items));
}

Value add_to_sequence(Runtime& runtime, const Value& left, const Value& right) {
  if (left.is_string() && right.is_string()) return concatenate(runtime, left, right);
  if (!left.is_string() && left.kind() == right.kind()) return join_sequences(runtime, left, right);
  fail(fmt::format("can only concatenate {0} (not \"{1}\") to {0}", type_name(left),
                   type_name(right)));
}

}  // namespace

Value concatenate(Runtime& runtime, const Value& left, const Value& right) {
  const bool markup = is_markup(left) || is_markup(right);
  const std::string& a = text_of(left);
  const std::string& b = text_of(right);
  runtime.expect_bytes(a.size() + b.size());
  if (!markup) return runtime.string(a + b);
  return runtime.string(
      (is_markup(left) ? a : escape_text(a)) + (is_markup(right) ? b : escape_text(b)), true);
}

Value repeat_text(Runtime& runtime, const Value& value, int64_t count) {
  const std::string& once = text_of(value);
  if (once.empty()) count = 0;
  runtime.expect_items(static_cast<uint64_t>(count), once.size());
  std::string out;
  out.reserve(once.size() * static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) out += once;
  return runtime.string(std::move(out), is_markup(value));
}

Value apply(Runtime& runtime, BinaryOperator op, const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) return apply_to_numbers(runtime, op, left, right);
  if (op == BinaryOperator::kModulo && left.is_string()) {
    return format_percent(runtime, left, right);
  }
  refuse_undefined(left);
  refuse_undefined(right);
  if (op == BinaryOperator::kAdd && is_sequence(left)) {
    return add_to_sequence(runtime, left, right);
  }
  if (op == BinaryOperator::kMultiply && is_sequence(left)) return repeat(runtime, left, right);
  if (op == BinaryOperator::kMultiply && is_sequence(right)) return repeat(runtime, right, left);
  fail_operands(op, left, right);
}

Value negate(Runtime& runtime, const Value& value) {
  refuse_undefined(value);
  if (value.is(Kind::kFloat)) return Value::number(-value.as_float());
  if (value.is_integral()) return runtime.integer(-to_big(value));
  fail(fmt::format("bad operand type for unary -: '{}'", type_name(value)));
}

Value positive(const Value& value) {
  refuse_undefined(value);
  if (value.is(Kind::kBool)) return Value::integer(value.as_int());
  if (value.is_number()) return value;
  fail(fmt::format("bad operand type for unary +: '{}'", type_name(value)));
}

BigInt to_big(const Value& value) {
  return value.is(Kind::kBigInt) ? value.as<BigIntObject>().value : BigInt(value.as_int());
}

double to_double(const Value& value) {
  if (value.is(Kind::kFloat)) return value.as_float();
  if (value.is(Kind::kBigInt)) return value.as<BigIntObject>().value.to_double();
  return static_cast<double>(value.as_int());
}

int64_t to_index(const Value& value, std::string_view what) {
  if (value.is(Kind::kBigInt)) {
    fail("a number is too large to be used as an index or a count");
  }
  if (value.is_integral()) return value.as_int();
  refuse_undefined(value);
  fail(fmt::format("{}'{}' object cannot be interpreted as an integer",
                   what.empty() ? "" : fmt::format("{}: ", what), type_name(value)));
}

}  // namespace nibble::jinja

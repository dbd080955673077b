// Filters on numbers.
#include <fmt/format.h>

#include <cmath>

#include "chat/jinja/failure.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/formatting.h"
#include "chat/jinja/numbers.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/parameters.h"
#include "chat/jinja/text.h"

namespace nibble::jinja {
namespace {

void refuse_undefined(const Value& value) {
  if (value.is_undefined()) {
    fail(value.shared() ? value.as<UndefinedObject>().message() : "the value is undefined");
  }
}

Value absolute(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("abs", arguments, {});
  if (subject.is(Kind::kFloat)) return Value::number(std::fabs(subject.as_float()));
  if (!subject.is_integral()) {
    fail(fmt::format("bad operand type for abs(): '{}'", type_name(subject)));
  }
  const BigInt value = to_big(subject);
  return rt.integer(value.is_negative() ? -value : value);
}

// int(float(value)), the second try of the int filter; nothing where that fails too.
std::optional<Value> whole_part(Runtime& runtime, const Value& value) {
  std::optional<double> number;
  if (value.is_string()) number = parse_float(text_of(value));
  if (value.is_number()) number = to_double(value);
  if (!number || !std::isfinite(*number)) return std::nullopt;
  return runtime.integer(BigInt::truncate(*number));
}

Value to_integer(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("int", arguments, {"default", "base"});
  refuse_undefined(subject);
  const Value otherwise = args.get(0, Value::integer(0));
  if (subject.is_integral()) return rt.integer(to_big(subject));
  if (subject.is(Kind::kFloat)) {
    if (std::isinf(subject.as_float())) fail("cannot convert float infinity to integer");
    return whole_part(rt, subject).value_or(otherwise);
  }
  if (subject.is_string()) {
    const int64_t base = args.has(1) ? to_index(args.get(1)) : 10;
    if (base == 0 || (base >= 2 && base <= 36)) {
      rt.step_bytes(text_of(subject).size());
      const auto number = parse_integer(text_of(subject), static_cast<uint32_t>(base));
      if (number) return rt.integer(*number);
    }
  }
  return whole_part(rt, subject).value_or(otherwise);
}

Value to_float(Runtime&, const Value& subject, const Arguments& arguments) {
  const Parameters args("float", arguments, {"default"});
  refuse_undefined(subject);
  const Value otherwise = args.get(0, Value::number(0.0));
  if (subject.is_number()) {
    const double number = to_double(subject);
    if (std::isinf(number) && !subject.is(Kind::kFloat)) fail("int too large to convert to float");
    return Value::number(number);
  }
  if (!subject.is_string()) return otherwise;
  const std::optional<double> number = parse_float(text_of(subject));
  return number ? Value::number(*number) : otherwise;
}

// round(int, -n): to a multiple of 10^n, halves to the even one.
Value round_integer(Runtime& runtime, const BigInt& value, int64_t n_zeros) {
  if (n_zeros > 4300) return Value::integer(0);
  const BigInt unit = BigInt::power(BigInt(10), static_cast<uint64_t>(n_zeros));
  BigInt quotient;
  BigInt remainder;
  BigInt::floor_divide(value, unit, quotient, remainder);
  const int half = BigInt::compare(remainder + remainder, unit);
  if (half > 0 || (half == 0 && quotient.is_odd())) quotient = quotient + BigInt(1);
  return runtime.integer(quotient * unit);
}

double round_float(double value, int64_t precision) {
  if (!std::isfinite(value) || precision > 330) return value;
  if (precision < -310) return std::copysign(0.0, value);
  if (precision < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-precision));
    return std::nearbyint(value / unit) * unit;
  }
  // The decimal text is rounded exactly, so reading it back gives the correctly rounded number.
  return parse_float(fmt::format("{:.{}f}", value, static_cast<int>(precision))).value_or(value);
}

Value round_number(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("round", arguments, {"precision", "method"});
  const int64_t precision = args.has(0) ? to_index(args.get(0)) : 0;
  const std::string method = args.has(1) ? expect_text(args.get(1), "round") : "common";
  if (method != "common" && method != "ceil" && method != "floor") {
    fail("method must be common, ceil or floor");
  }
  if (method == "common") {
    if (subject.is(Kind::kFloat)) return Value::number(round_float(subject.as_float(), precision));
    if (!subject.is_integral()) {
      fail(fmt::format("type {} doesn't define __round__ method", type_name(subject)));
    }
    if (precision >= 0) return rt.integer(to_big(subject));
    return round_integer(rt, to_big(subject), -precision);
  }
  const Value unit =
      apply(rt, BinaryOperator::kPower, Value::integer(10), Value::integer(precision));
  const Value scaled = apply(rt, BinaryOperator::kMultiply, subject, unit);
  if (!scaled.is_number()) fail(fmt::format("must be real number, not {}", type_name(scaled)));
  Value whole = scaled;
  if (scaled.is(Kind::kFloat)) {
    const double d = scaled.as_float();
    if (!std::isfinite(d)) fail("cannot convert float infinity or NaN to integer");
    whole = rt.integer(BigInt::truncate(method == "ceil" ? std::ceil(d) : std::floor(d)));
  }
  return apply(rt, BinaryOperator::kDivide, whole, unit);
}

Value file_size(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("filesizeformat", arguments, {"binary"});
  std::optional<double> size;
  if (subject.is_string()) size = parse_float(text_of(subject));
  if (subject.is_number()) size = to_double(subject);
  if (!size) fail("filesizeformat: the value is not a number");
  const bool binary = args.flag(0);
  const double base = binary ? 1024 : 1000;
  static constexpr std::string_view kDecimal[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
  static constexpr std::string_view kBinary[] = {"KiB", "MiB", "GiB", "TiB",
                                                 "PiB", "EiB", "ZiB", "YiB"};
  if (*size == 1) return rt.string("1 Byte");
  if (*size < base) return rt.string(fmt::format("{} Bytes", static_cast<int64_t>(*size)));
  double unit = base;
  size_t i = 0;
  for (; i < 8; ++i) {
    unit *= base;
    if (*size < unit) break;
  }
  const std::string_view prefix =
      binary ? kBinary[std::min<size_t>(i, 7)] : kDecimal[std::min<size_t>(i, 7)];
  return rt.string(fmt::format("{:.1f} {}", base * *size / unit, prefix));
}

constexpr Filter kFilters[] = {
    {"abs", absolute},   {"filesizeformat", file_size}, {"float", to_float},
    {"int", to_integer}, {"round", round_number},
};

}  // namespace

FilterFunction find_number_filter(std::string_view name) { return find_in(kFilters, name); }

}  // namespace nibble::jinja

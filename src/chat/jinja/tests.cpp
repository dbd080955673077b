// The tests of the language: what may follow `is`.
#include <fmt/format.h>

#include "chat/jinja/failure.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/items.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/parameters.h"
#include "chat/jinja/text.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

template <bool (*kPredicate)(const Value&)>
bool holds(Runtime&, const Value& subject, const Arguments& arguments) {
  const Parameters args("a test", arguments, {});
  return kPredicate(subject);
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.is(Kind::kBool); }
bool is_true(const Value& v) { return v.is(Kind::kBool) && v.as_bool(); }
bool is_false(const Value& v) { return v.is(Kind::kBool) && !v.as_bool(); }
bool is_integer(const Value& v) { return v.is(Kind::kInt) || v.is(Kind::kBigInt); }
bool is_float(const Value& v) { return v.is(Kind::kFloat); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is_string(); }
bool is_mapping(const Value& v) { return v.is(Kind::kDict); }
bool is_escaped(const Value& v) { return is_markup(v); }

bool is_callable(const Value& v) {
  return v.is(Kind::kCallable) || v.is(Kind::kLoop) || v.is_undefined();
}

// Something with a length and items.
bool is_sequence(const Value& v) {
  switch (v.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
      return true;
    default:
      return false;
  }
}

template <Comparison kOperator>
bool compares(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("a comparison", arguments, {"other"}, 1);
  return compare(rt, kOperator, subject, args.get(0));
}

bool is_same(Runtime&, const Value& subject, const Arguments& arguments) {
  const Parameters args("sameas", arguments, {"other"}, 1);
  return subject.same_as(args.get(0));
}

bool remainder_is(Runtime& runtime, const Value& subject, const Value& divisor, int64_t wanted) {
  const Value rest = apply(runtime, BinaryOperator::kModulo, subject, divisor);
  return equals(runtime, rest, Value::integer(wanted));
}

bool is_odd(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("odd", arguments, {});
  return remainder_is(rt, subject, Value::integer(2), 1);
}

bool is_even(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("even", arguments, {});
  return remainder_is(rt, subject, Value::integer(2), 0);
}

bool is_divisible(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("divisibleby", arguments, {"num"}, 1);
  return remainder_is(rt, subject, args.get(0), 0);
}

// Text with at least one letter of the wanted case and none of the other.
bool is_all_case(Runtime& runtime, const Value& subject, bool wants_upper) {
  bool found = false;
  for (const char32_t c : to_code_points(to_text(runtime, subject))) {
    if ((wants_upper ? is_lower(c) : is_upper(c)) || is_title(c)) return false;
    found = found || (wants_upper ? is_upper(c) : is_lower(c));
  }
  return found;
}

bool is_lower_text(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("lower", arguments, {});
  return is_all_case(rt, subject, false);
}

bool is_upper_text(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("upper", arguments, {});
  return is_all_case(rt, subject, true);
}

bool is_filter_name(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("filter", arguments, {});
  hash_value(rt, subject);  // the reference looks into a dict, which a list cannot be a key of
  return subject.is_string() && find_filter(text_of(subject)) != nullptr;
}

bool is_test_name(Runtime& rt, const Value& subject, const Arguments& arguments) {
  const Parameters args("test", arguments, {});
  hash_value(rt, subject);
  return subject.is_string() && find_test(text_of(subject)) != nullptr;
}

struct Test {
  std::string_view name;
  TestFunction function;
};

constexpr Test kTests[] = {
    {"!=", compares<Comparison::kNotEqual>},
    {"<", compares<Comparison::kLess>},
    {"<=", compares<Comparison::kLessOrEqual>},
    {"==", compares<Comparison::kEqual>},
    {">", compares<Comparison::kGreater>},
    {">=", compares<Comparison::kGreaterOrEqual>},
    {"boolean", holds<is_boolean>},
    {"callable", holds<is_callable>},
    {"defined", holds<is_defined>},
    {"divisibleby", is_divisible},
    {"eq", compares<Comparison::kEqual>},
    {"equalto", compares<Comparison::kEqual>},
    {"escaped", holds<is_escaped>},
    {"even", is_even},
    {"false", holds<is_false>},
    {"filter", is_filter_name},
    {"float", holds<is_float>},
    {"ge", compares<Comparison::kGreaterOrEqual>},
    {"greaterthan", compares<Comparison::kGreater>},
    {"gt", compares<Comparison::kGreater>},
    {"in", compares<Comparison::kIn>},
    {"integer", holds<is_integer>},
    {"iterable", holds<is_iterable>},
    {"le", compares<Comparison::kLessOrEqual>},
    {"lessthan", compares<Comparison::kLess>},
    {"lower", is_lower_text},
    {"lt", compares<Comparison::kLess>},
    {"mapping", holds<is_mapping>},
    {"ne", compares<Comparison::kNotEqual>},
    {"none", holds<is_none>},
    {"number", holds<is_number>},
    {"odd", is_odd},
    {"sameas", is_same},
    {"sequence", holds<is_sequence>},
    {"string", holds<is_string>},
    {"test", is_test_name},
    {"true", holds<is_true>},
    {"undefined", holds<is_undefined>},
    {"upper", is_upper_text},
};

}  // namespace

TestFunction find_test(std::string_view name) {
  for (const Test& test : kTests) {
    if (test.name == name) return test.function;
  }
  return nullptr;
}

}  // namespace nibble::jinja

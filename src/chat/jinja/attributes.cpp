#include "chat/jinja/attributes.h"

#include <algorithm>
#include <initializer_list>

#include "chat/jinja/failure.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/operators.h"

namespace nibble::jinja {
namespace {

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Attributes that Python's objects have, but that the sandbox does not hand out.
bool is_internal(const Value& value, std::string_view name) {
  if (!name.starts_with("__")) return false;
  if (is_one_of(
          name,
          {"__class__",       "__delattr__", "__dir__",           "__doc__",      "__eq__",
           "__format__",      "__ge__",      "__getattribute__",  "__getstate__", "__gt__",
           "__hash__",        "__init__",    "__init_subclass__", "__le__",       "__lt__",
           "__module__",      "__ne__",      "__new__",           "__reduce__",   "__reduce_ex__",
           "__repr__",        "__setattr__", "__sizeof__",        "__slots__",    "__str__",
           "__subclasshook__"})) {
    return true;
  }
  if (is_one_of(name, {"__add__", "__bool__", "__call__", "__contains__", "__getitem__", "__iter__",
                       "__len__", "__mod__", "__mul__", "__rmod__", "__rmul__"})) {
    return true;
  }
  // Those of functions and types.
  return value.is(Kind::kCallable) &&
         is_one_of(name, {"__bases__", "__closure__", "__code__", "__defaults__", "__dict__",
                          "__func__", "__globals__", "__kwdefaults__", "__mro__", "__name__",
                          "__qualname__", "__self__", "__subclasses__", "__wrapped__"});
}

// Methods that would change a list or dict: they exist, but the values of a template do not change.
bool is_mutating(const Value& value, std::string_view name) {
  if (value.is(Kind::kList)) {
    return is_one_of(name,
                     {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"});
  }
  return value.is(Kind::kDict) &&
         is_one_of(name, {"clear", "pop", "popitem", "setdefault", "update"});
}

std::optional<Value> number_attribute(const Value& value, std::string_view name) {
  const bool is_float = value.is(Kind::kFloat);
  if (name == "real" || (!is_float && name == "numerator")) return positive(value);
  if (name == "imag") return is_float ? Value::number(0) : Value::integer(0);
  if (!is_float && name == "denominator") return Value::integer(1);
  return std::nullopt;
}

std::optional<Value> range_attribute(const RangeObject& range, std::string_view name) {
  if (name == "start") return Value::integer(range.start);
  if (name == "stop") return Value::integer(range.stop);
  if (name == "step") return Value::integer(range.step);
  return std::nullopt;
}

std::optional<Value> own_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  Value out;
  switch (value.kind()) {
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kBigInt:
    case Kind::kFloat:
      return number_attribute(value, name);
    case Kind::kTuple: {
      const SequenceObject& tuple = value.as<SequenceObject>();
      if (tuple.is_group && name == "grouper") return tuple.items[0];
      if (tuple.is_group && name == "list") return tuple.items[1];
      return std::nullopt;
    }
    case Kind::kRange:
      return range_attribute(value.as<RangeObject>(), name);
    case Kind::kNamespace: {
      const Value* found = value.as<NamespaceObject>().find(name);
      return found == nullptr ? std::nullopt : std::optional<Value>(*found);
    }
    case Kind::kLoop:
      if (value.as<LoopObject>().attribute(runtime, name, out)) return out;
      return std::nullopt;
    case Kind::kCallable:
    case Kind::kInstance: {
      const auto& attribute = value.as<CallableObject>().attribute;
      if (attribute && attribute(runtime, name, out)) return out;
      return std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<Value> find_method(Runtime& runtime, const Value& value, std::string_view name) {
  MethodFunction method = nullptr;
  if (value.is_string()) {
    method = find_search_method(name);
    if (method == nullptr) method = find_shape_method(name);
  } else {
    method = find_container_method(value.kind(), name);
  }
  if (method == nullptr) return std::nullopt;
  return runtime.function(
      std::string(name),
      [method, value](Runtime& rt, const Arguments& arguments) {
        return method(rt, value, arguments);
      },
      value.depth() + 1);
}

std::optional<Value> find_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  if (is_internal(value, name)) return runtime.undefined_attribute(value, name, true);
  if (value.is_undefined()) {
    fail(value.shared() ? value.as<UndefinedObject>().message() : "the value is undefined");
  }
  if (is_mutating(value, name)) return runtime.undefined_attribute(value, name, true);
  if (auto own = own_attribute(runtime, value, name)) return own;
  return find_method(runtime, value, name);
}

Value get_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  if (auto attribute = find_attribute(runtime, value, name)) return *attribute;
  if (value.is(Kind::kDict)) {
    if (const Value* found = value.as<DictObject>().find(name)) return *found;
  }
  return runtime.undefined_attribute(value, name);
}

Value get_item(Runtime& runtime, const Value& value, const Value& key) {
  if (auto item = try_item(runtime, value, key)) return *item;
  if (key.is_string()) {
    if (auto attribute = find_attribute(runtime, value, text_of(key))) return *attribute;
  }
  return runtime.undefined_element(value, key);
}

}  // namespace nibble::jinja

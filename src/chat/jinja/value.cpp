#include "chat/jinja/value.h"

#include <fmt/format.h>

#include "chat/jinja/failure.h"
#include "chat/jinja/operators.h"

namespace nibble::jinja {
namespace {

constexpr size_t kMinIndexed = 12;  // below this, comparing keys one by one is as fast
constexpr size_t kNotFound = static_cast<size_t>(-1);

}  // namespace

void MemoryAccount::expect(size_t n_bytes) const {
  if (n_bytes > limit_bytes_ || used_bytes_ > limit_bytes_ - n_bytes) {
    fail_limit(fmt::format("the values of the template need more than {} bytes", limit_bytes_));
  }
}

void MemoryAccount::add(size_t n_bytes) {
  expect(n_bytes);
  used_bytes_ += n_bytes;
}

Value Value::boolean(bool b) {
  Value out(Kind::kBool);
  out.scalar_.b = b;
  return out;
}

Value Value::integer(int64_t i) {
  Value out(Kind::kInt);
  out.scalar_.i = i;
  return out;
}

Value Value::number(double d) {
  Value out(Kind::kFloat);
  out.scalar_.d = d;
  return out;
}

Value Value::object(Kind kind, std::shared_ptr<Object> object) {
  Value out(kind);
  out.object_ = std::move(object);
  return out;
}

bool Value::same_as(const Value& other) const {
  if (kind_ != other.kind_) return false;
  switch (kind_) {
    case Kind::kNone:
      return true;
    case Kind::kBool:
      return scalar_.b == other.scalar_.b;
    case Kind::kInt:
      return scalar_.i == other.scalar_.i;
    case Kind::kFloat:
      return scalar_.d == other.scalar_.d;
    default:
      return object_ == other.object_;
  }
}

std::string UndefinedObject::message() const {
  if (!hint.empty()) return hint;
  if (is_unsafe) {
    return fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, owner_type);
  }
  if (owner_type.empty()) return fmt::format("'{}' is undefined", name);
  const std::string owner = owner_type == "NoneType" ? "None" : owner_type + " object";
  if (is_element) return fmt::format("{} has no element {}", owner, name);
  return fmt::format("'{}' has no attribute '{}'", owner, name);
}

size_t DictObject::find_index(Runtime& runtime, const Value& key, size_t hash) const {
  if (slots.empty()) {
    for (size_t i = 0; i < items.size(); ++i) {
      if (equals(runtime, items[i].first, key)) return i;
    }
    return kNotFound;
  }
  const size_t mask = slots.size() - 1;
  for (size_t slot = hash & mask; slots[slot] != 0; slot = (slot + 1) & mask) {
    if (equals(runtime, items[slots[slot] - 1].first, key)) return slots[slot] - 1;
  }
  return kNotFound;
}

const Value* DictObject::find(Runtime& runtime, const Value& key) const {
  const size_t index = find_index(runtime, key, hash_value(runtime, key));
  return index == kNotFound ? nullptr : &items[index].second;
}

const Value* DictObject::find(std::string_view key) const {
  if (slots.empty()) {
    for (const auto& [name, value] : items) {
      if (name.is_string() && text_of(name) == key) return &value;
    }
    return nullptr;
  }
  const size_t mask = slots.size() - 1;
  for (size_t slot = hash_text(key) & mask; slots[slot] != 0; slot = (slot + 1) & mask) {
    const auto& [name, value] = items[slots[slot] - 1];
    if (name.is_string() && text_of(name) == key) return &value;
  }
  return nullptr;
}

void DictObject::set(Runtime& runtime, const Value& key, Value value) {
  const size_t hash = hash_value(runtime, key);
  const size_t index = find_index(runtime, key, hash);
  if (index != kNotFound) {
    items[index].second = std::move(value);
    return;
  }
  items.emplace_back(key, std::move(value));
  if (items.size() >= kMinIndexed && slots.size() < items.size() * 2) {
    rebuild(runtime);
  } else if (!slots.empty()) {
    const size_t mask = slots.size() - 1;
    size_t slot = hash & mask;
    while (slots[slot] != 0) slot = (slot + 1) & mask;
    slots[slot] = static_cast<uint32_t>(items.size());
  }
}

void DictObject::rebuild(Runtime& runtime) {
  size_t n_slots = 16;
  while (n_slots < items.size() * 4) n_slots *= 2;
  slots.assign(n_slots, 0);
  for (size_t i = 0; i < items.size(); ++i) {
    size_t slot = hash_value(runtime, items[i].first) & (n_slots - 1);
    while (slots[slot] != 0) slot = (slot + 1) & (n_slots - 1);
    slots[slot] = static_cast<uint32_t>(i + 1);
  }
}

int64_t RangeObject::n_items() const {
  if (step > 0 ? start >= stop : start <= stop) return 0;
  const uint64_t distance = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                     : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : ~static_cast<uint64_t>(step) + 1;
  return static_cast<int64_t>((distance - 1) / stride + 1);
}

Value* NamespaceObject::find(std::string_view name) {
  for (auto& [key, value] : attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
    case Kind::kBigInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return is_markup(value) ? "Markup" : "str";
    case Kind::kBytes:
      return "bytes";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kDictView:
      switch (value.as<DictViewObject>().part) {
        case DictViewObject::Part::kKeys:
          return "dict_keys";
        case DictViewObject::Part::kValues:
          return "dict_values";
        case DictViewObject::Part::kItems:
          return "dict_items";
      }
      return "dict_items";
    case Kind::kRange:
      return "range";
    case Kind::kStream:
      return value.as<StreamObject>().type_name;
    case Kind::kNamespace:
      return "TemplateNamespace";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCallable:
    case Kind::kInstance:
      return value.as<CallableObject>().type_name;
  }
  return "object";
}

bool truth(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.as_bool();
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_float() != 0;
    case Kind::kString:
      return !text_of(value).empty();
    case Kind::kBytes:
      return !value.as<BytesObject>().bytes.empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.as<SequenceObject>().items.empty();
    case Kind::kDict:
      return !value.as<DictObject>().items.empty();
    case Kind::kDictView:
      return truth(value.as<DictViewObject>().dict);
    case Kind::kRange:
      return value.as<RangeObject>().n_items() != 0;
    default:
      return true;
  }
}

}  // namespace nibble::jinja

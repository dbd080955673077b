#include "chat/jinja/runtime.h"

#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/operators.h"
#include "chat/jinja/text.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

constexpr uint64_t kStepsPerClockCheck = 4096;

uint32_t deepest(const std::vector<Value>& items) {
  uint32_t depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth() + 1);
  return depth;
}

Value make_sequence(Runtime& runtime, Kind kind, std::vector<Value> items, bool is_group = false) {
  auto object = std::make_shared<SequenceObject>();
  runtime.adopt(*object, items.capacity() * sizeof(Value), deepest(items));
  object->items = std::move(items);
  object->is_group = is_group;
  return Value::object(kind, std::move(object));
}

Value make_undefined(Runtime& runtime, std::shared_ptr<UndefinedObject> object) {
  runtime.adopt(*object, object->name.size() + object->hint.size(), 0);
  return Value::object(Kind::kUndefined, std::move(object));
}

}  // namespace

Runtime::Runtime(const RenderOptions& options)
    : options_(options), account_(options.limits.max_value_bytes) {}

Runtime::~Runtime() {
  for (const auto& object : kept_) object->clear();
}

void Runtime::keep(const std::shared_ptr<Clearable>& object) {
  if (object->is_kept) return;
  account_.add(sizeof(*object) + 128);
  object->is_kept = true;
  kept_.push_back(object);
}

void Runtime::step(uint64_t n_steps) {
  n_steps_ += n_steps;
  if (n_steps_ > options_.limits.max_steps) {
    fail_limit(fmt::format("the template needs more than {} steps", options_.limits.max_steps));
  }
  if (n_steps_ < next_clock_check_) return;
  next_clock_check_ = n_steps_ + kStepsPerClockCheck;
  if (stopwatch_.elapsed_s() > options_.limits.max_seconds) {
    fail_limit(fmt::format("the template runs longer than {} s", options_.limits.max_seconds));
  }
}

void Runtime::expect_bytes(size_t n_bytes) {
  account_.expect(n_bytes);
  step_bytes(n_bytes);
}

void Runtime::expect_items(uint64_t n_items, uint64_t item_bytes) {
  uint64_t n_bytes = 0;
  if (__builtin_mul_overflow(n_items, item_bytes, &n_bytes)) n_bytes = SIZE_MAX;
  expect_bytes(n_bytes);
}

void Runtime::adopt(Object& object, size_t n_bytes, uint32_t object_depth) {
  if (object_depth > kMaxValueDepth) {
    fail_limit(fmt::format("values are nested deeper than {} levels", kMaxValueDepth));
  }
  n_bytes += 96;  // the object itself and its control block, roughly
  account_.add(n_bytes);
  object.account = &account_;
  object.n_bytes = n_bytes;
  object.depth = object_depth;
}

Value Runtime::string(std::string text, bool is_markup) {
  step_bytes(text.size());
  auto object = std::make_shared<StringObject>();
  adopt(*object, text.size(), 0);
  object->n_chars = count_code_points(text);
  object->text = std::move(text);
  object->is_markup = is_markup;
  return Value::object(Kind::kString, std::move(object));
}

Value Runtime::bytes(std::string bytes) {
  auto object = std::make_shared<BytesObject>();
  adopt(*object, bytes.size(), 0);
  object->bytes = std::move(bytes);
  return Value::object(Kind::kBytes, std::move(object));
}

Value Runtime::integer(const BigInt& value) {
  if (const std::optional<int64_t> small = value.to_int64()) return Value::integer(*small);
  auto object = std::make_shared<BigIntObject>();
  adopt(*object, value.n_bits() / 8, 0);
  object->value = value;
  return Value::object(Kind::kBigInt, std::move(object));
}

Value Runtime::list(std::vector<Value> items) {
  return make_sequence(*this, Kind::kList, std::move(items));
}

Value Runtime::tuple(std::vector<Value> items) {
  return make_sequence(*this, Kind::kTuple, std::move(items));
}

Value Runtime::group(Value grouper, Value items) {
  std::vector<Value> pair;
  pair.push_back(std::move(grouper));
  pair.push_back(std::move(items));
  return make_sequence(*this, Kind::kTuple, std::move(pair), true);
}

Value Runtime::dict(std::shared_ptr<DictObject> dict) {
  uint32_t dict_depth = 0;
  for (const auto& [key, value] : dict->items) {
    dict_depth = std::max({dict_depth, key.depth() + 1, value.depth() + 1});
  }
  adopt(*dict, dict->items.capacity() * 2 * sizeof(Value) + dict->slots.size() * 4, dict_depth);
  return Value::object(Kind::kDict, std::move(dict));
}

Value Runtime::view(DictViewObject::Part part, const Value& dict) {
  auto object = std::make_shared<DictViewObject>();
  adopt(*object, 0, dict.depth() + 1);
  object->part = part;
  object->dict = dict;
  return Value::object(Kind::kDictView, std::move(object));
}

Value Runtime::range(int64_t start, int64_t stop, int64_t step_size) {
  auto object = std::make_shared<RangeObject>();
  adopt(*object, 0, 0);
  object->start = start;
  object->stop = stop;
  object->step = step_size;
  return Value::object(Kind::kRange, std::move(object));
}

Value Runtime::stream(std::string type_name, uint32_t stream_depth,
                      std::function<bool(Runtime&, Value&)> next) {
  auto object = std::make_shared<StreamObject>();
  adopt(*object, 128, stream_depth + 1);
  object->type_name = std::move(type_name);
  object->next = std::move(next);
  return Value::object(Kind::kStream, std::move(object));
}

Value Runtime::new_namespace(std::shared_ptr<NamespaceObject> object) {
  adopt(*object, object->attributes.size() * 64, 0);
  keep(object);
  return Value::object(Kind::kNamespace, std::move(object));
}

Value Runtime::function(std::string name, std::function<Value(Runtime&, const Arguments&)> call,
                        uint32_t function_depth) {
  auto object = std::make_shared<CallableObject>();
  object->name = std::move(name);
  object->call = std::move(call);
  return callable(std::move(object), function_depth);
}

Value Runtime::callable(std::shared_ptr<CallableObject> object, uint32_t callable_depth) {
  adopt(*object, 128, callable_depth);
  return Value::object(Kind::kCallable, std::move(object));
}

Value Runtime::undefined_name(std::string_view name) {
  auto object = std::make_shared<UndefinedObject>();
  object->name = name;
  return make_undefined(*this, std::move(object));
}

Value Runtime::undefined_hint(std::string_view hint) {
  auto object = std::make_shared<UndefinedObject>();
  object->hint = hint;
  return make_undefined(*this, std::move(object));
}

Value Runtime::undefined_attribute(const Value& owner, std::string_view name, bool is_unsafe) {
  auto object = std::make_shared<UndefinedObject>();
  object->owner_type = type_name(owner);
  object->name = name;
  object->is_unsafe = is_unsafe;
  return make_undefined(*this, std::move(object));
}

Value Runtime::undefined_element(const Value& owner, const Value& key) {
  if (key.is_string()) return undefined_attribute(owner, text_of(key));
  auto object = std::make_shared<UndefinedObject>();
  object->owner_type = type_name(owner);
  object->name = to_repr(*this, key);
  object->is_element = true;
  return make_undefined(*this, std::move(object));
}

Value Runtime::call(const Value& callee, const Arguments& arguments) {
  const Nesting nesting(*this);
  switch (callee.kind()) {
    case Kind::kCallable:
      return callee.as<CallableObject>().call(*this, arguments);
    case Kind::kUndefined:
      fail(callee.shared() ? callee.as<UndefinedObject>().message() : "the value is undefined");
    case Kind::kLoop:
      if (arguments.positional.size() != 1 || !arguments.named.empty()) {
        fail("loop() takes exactly one argument, the items of the next level");
      }
      return callee.as<LoopObject>().call(*this, arguments.positional[0]);
    default:
      fail(fmt::format("'{}' object is not callable", type_name(callee)));
  }
}

}  // namespace nibble::jinja

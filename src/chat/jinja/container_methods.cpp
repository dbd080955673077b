// Methods of the built-in types other than str.
#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "chat/jinja/failure.h"
#include "chat/jinja/items.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/parameters.h"
#include "chat/jinja/text.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

Value dict_get(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("get", arguments, {"key", "default"}, 1);
  const Value* found = self.as<DictObject>().find(rt, args.get(0));
  return found != nullptr ? *found : args.get(1);
}

template <DictViewObject::Part kPart>
Value dict_view(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("a view of a dict", arguments, {});
  return rt.view(kPart, self);
}

// Values do not change, so a copy may share everything but its identity.
Value copy_dict(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("copy", arguments, {});
  const DictObject& source = self.as<DictObject>();
  rt.expect_items(source.items.size(), 2 * sizeof(Value));
  auto out = std::make_shared<DictObject>();
  out->items = source.items;
  out->slots = source.slots;
  return rt.dict(std::move(out));
}

Value dict_from_keys(Runtime& rt, const Value&, const Arguments& arguments) {
  const Parameters args("fromkeys", arguments, {"iterable", "value"}, 1);
  auto out = std::make_shared<DictObject>();
  ItemReader reader(args.get(0));
  for (Value key; reader.next(rt, key);) out->set(rt, key, args.get(1));
  return rt.dict(std::move(out));
}

Value copy_list(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("copy", arguments, {});
  return rt.list(items_of(rt, self));
}

Value sequence_index(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("index", arguments, {"value", "start", "stop"}, 1);
  const int64_t n = length(rt, self);
  const auto bound = [&](size_t i, int64_t otherwise) {
    if (!args.has(i)) return otherwise;
    const int64_t at = to_index(args.get(i));
    return at < 0 ? std::max<int64_t>(0, at + n) : at;
  };
  const int64_t first = bound(1, 0);
  const int64_t last = std::min(n, bound(2, n));
  for (int64_t i = first; i < last; ++i) {
    const std::optional<Value> item = try_item(rt, self, Value::integer(i));
    if (item && equals(rt, *item, args.get(0))) return Value::integer(i);
  }
  fail(fmt::format("{} is not in {}", to_repr(rt, args.get(0)), type_name(self)));
}

Value sequence_count(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("count", arguments, {"value"}, 1);
  int64_t n = 0;
  ItemReader reader(self);
  for (Value item; reader.next(rt, item);) n += equals(rt, item, args.get(0)) ? 1 : 0;
  return Value::integer(n);
}

Value number_itself(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters args("conjugate", arguments, {});
  return self.is(Kind::kBool) ? Value::integer(self.as_int()) : self;
}

Value bit_length(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters args("bit_length", arguments, {});
  return Value::integer(static_cast<int64_t>(to_big(self).n_bits()));
}

Value is_whole(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters args("is_integer", arguments, {});
  const double d = self.as_float();
  return Value::boolean(std::isfinite(d) && d == std::floor(d));
}

Value decode_bytes(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("decode", arguments, {"encoding", "errors"});
  const std::string name = args.has(0) ? to_lower(expect_text(args.get(0), "decode")) : "utf-8";
  const std::string& bytes = self.as<BytesObject>().bytes;
  if (name != "utf-8" && name != "utf8") fail(fmt::format("unknown encoding: {}", name));
  if (find_invalid_utf8(bytes) != std::string::npos) {
    fail("'utf-8' codec can't decode the bytes: they are not valid UTF-8");
  }
  return rt.string(bytes);
}

Value hex_of_bytes(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters args("hex", arguments, {});
  std::string out;
  for (const char c : self.as<BytesObject>().bytes) {
    out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return rt.string(std::move(out));
}

struct Method {
  Kind kind;
  std::string_view name;
  MethodFunction function;
};

constexpr Method kMethods[] = {
    {Kind::kDict, "get", dict_get},
    {Kind::kDict, "items", dict_view<DictViewObject::Part::kItems>},
    {Kind::kDict, "keys", dict_view<DictViewObject::Part::kKeys>},
    {Kind::kDict, "values", dict_view<DictViewObject::Part::kValues>},
    {Kind::kDict, "copy", copy_dict},
    {Kind::kDict, "fromkeys", dict_from_keys},
    {Kind::kList, "copy", copy_list},
    {Kind::kList, "index", sequence_index},
    {Kind::kList, "count", sequence_count},
    {Kind::kTuple, "index", sequence_index},
    {Kind::kTuple, "count", sequence_count},
    {Kind::kRange, "index", sequence_index},
    {Kind::kRange, "count", sequence_count},
    {Kind::kBool, "bit_length", bit_length},
    {Kind::kInt, "bit_length", bit_length},
    {Kind::kBigInt, "bit_length", bit_length},
    {Kind::kBool, "conjugate", number_itself},
    {Kind::kInt, "conjugate", number_itself},
    {Kind::kBigInt, "conjugate", number_itself},
    {Kind::kFloat, "conjugate", number_itself},
    {Kind::kFloat, "is_integer", is_whole},
    {Kind::kBytes, "decode", decode_bytes},
    {Kind::kBytes, "hex", hex_of_bytes},
};

}  // namespace

MethodFunction find_container_method(Kind kind, std::string_view name) {
  for (const Method& method : kMethods) {
    if (method.kind == kind && method.name == name) return method.function;
  }
  return nullptr;
}

}  // namespace nibble::jinja

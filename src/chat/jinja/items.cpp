#include "chat/jinja/items.h"

#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/failure.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

bool next_of_view(Runtime& runtime, const DictViewObject& view, size_t& at, Value& item) {
  const auto& items = view.dict.as<DictObject>().items;
  if (at >= items.size()) return false;
  const auto& [key, value] = items[at++];
  switch (view.part) {
    case DictViewObject::Part::kKeys:
      item = key;
      break;
    case DictViewObject::Part::kValues:
      item = value;
      break;
    case DictViewObject::Part::kItems:
      item = runtime.tuple({key, value});
      break;
  }
  return true;
}

Value reversed_items(Runtime& runtime, std::string type_name, std::vector<Value> items) {
  std::reverse(items.begin(), items.end());
  const Value list = runtime.list(std::move(items));
  return runtime.stream(std::move(type_name), list.depth(),
                        [reader = ItemReader(list)](Runtime& rt, Value& item) mutable {
                          return reader.next(rt, item);
                        });
}

}  // namespace

bool is_iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kDictView:
    case Kind::kRange:
    case Kind::kStream:
      return true;
    default:
      return false;
  }
}

bool ItemReader::next(Runtime& runtime, Value& item) {
  runtime.step();
  switch (source_.kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kString: {
      const std::string& text = text_of(source_);
      if (at_ >= text.size()) return false;
      const size_t first = at_;
      next_code_point(text, at_);
      item = runtime.string(text.substr(first, at_ - first));
      return true;
    }
    case Kind::kBytes: {
      const std::string& bytes = source_.as<BytesObject>().bytes;
      if (at_ >= bytes.size()) return false;
      item = Value::integer(static_cast<unsigned char>(bytes[at_++]));
      return true;
    }
    case Kind::kList:
    case Kind::kTuple: {
      const std::vector<Value>& items = source_.as<SequenceObject>().items;
      if (at_ >= items.size()) return false;
      item = items[at_++];
      return true;
    }
    case Kind::kDict: {
      const auto& items = source_.as<DictObject>().items;
      if (at_ >= items.size()) return false;
      item = items[at_++].first;
      return true;
    }
    case Kind::kDictView:
      return next_of_view(runtime, source_.as<DictViewObject>(), at_, item);
    case Kind::kRange: {
      const RangeObject& range = source_.as<RangeObject>();
      if (static_cast<int64_t>(at_) >= range.n_items()) return false;
      item = Value::integer(range.start + static_cast<int64_t>(at_++) * range.step);
      return true;
    }
    case Kind::kStream: {
      const Nesting nesting(runtime);
      return source_.as<StreamObject>().next(runtime, item);
    }
    default:
      fail(fmt::format("'{}' object is not iterable", type_name(source_)));
  }
}

std::vector<Value> items_of(Runtime& runtime, const Value& value) {
  ItemReader reader(value);
  std::vector<Value> items;
  for (Value item; reader.next(runtime, item);) {
    items.push_back(item);
    if ((items.size() & 1023) == 0) runtime.expect_items(items.size(), sizeof(Value));
  }
  return items;
}

std::optional<Value> reversed(Runtime& runtime, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kDictView:
    case Kind::kRange:
      break;
    default:
      return std::nullopt;
  }
  return reversed_items(runtime, value.is(Kind::kList) ? "list_reverseiterator" : "reversed",
                        items_of(runtime, value));
}

}  // namespace nibble::jinja

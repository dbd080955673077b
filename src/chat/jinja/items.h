// Python's iteration protocol.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "chat/jinja/runtime.h"
#include "chat/jinja/value.h"

namespace nibble::jinja {

/// Whether iter(value) works.
bool is_iterable(const Value& value);

/// Reads the items of an iterable one after another. Copies share the position only for streams.
class ItemReader {
 public:
  explicit ItemReader(Value source) : source_(std::move(source)) {}
  /// Gives the next item, or false at the end. Stops the rendering if the value is not iterable:
  /// only here, because the streams of the filters fail when they are read, not when they are made.
  bool next(Runtime& runtime, Value& item);

 private:
  Value source_;
  size_t at_ = 0;
};

/// list(value): reads all items.
std::vector<Value> items_of(Runtime& runtime, const Value& value);

/// reversed(value), or nothing where Python has no reverse iterator for the type.
std::optional<Value> reversed(Runtime& runtime, const Value& value);

}  // namespace nibble::jinja

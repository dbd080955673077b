// The filters and tests of the language, by name.
#pragma once

#include <string_view>

#include "chat/jinja/runtime.h"
#include "chat/jinja/value.h"

namespace nibble::jinja {

using FilterFunction = Value (*)(Runtime&, const Value& subject, const Arguments&);
using TestFunction = bool (*)(Runtime&, const Value& subject, const Arguments&);

struct Filter {
  std::string_view name;
  FilterFunction function;
};

/// The filter with this name, or null.
FilterFunction find_filter(std::string_view name);

/// The test with this name, or null.
TestFunction find_test(std::string_view name);

// The tables that find_filter searches, one a file.
FilterFunction find_text_filter(std::string_view name);
FilterFunction find_layout_filter(std::string_view name);
FilterFunction find_html_filter(std::string_view name);
FilterFunction find_number_filter(std::string_view name);
FilterFunction find_sequence_filter(std::string_view name);
FilterFunction find_order_filter(std::string_view name);
FilterFunction find_selection_filter(std::string_view name);

/// Searches one table.
template <size_t kSize>
FilterFunction find_in(const Filter (&filters)[kSize], std::string_view name) {
  for (const Filter& filter : filters) {
    if (filter.name == name) return filter.function;
  }
  return nullptr;
}

/// Reads an attribute path ("a.b.0", or a number) from values, as the `attribute` arguments of
/// filters name it.
class AttributePath {
 public:
  /// No path (the value itself) for none.
  AttributePath(Runtime& runtime, const Value& path);
  /// Where a step is undefined, goes on with `otherwise` unless that is none.
  Value read(Runtime& runtime, Value value, const Value& otherwise = Value::none()) const;

 private:
  std::vector<Value> parts_;
};

/// Lower case for strings, so that order and equality ignore case; other values as they are.
Value ignore_case(Runtime& runtime, const Value& value);

}  // namespace nibble::jinja

#include "chat/jinja/filters.h"

#include "chat/jinja/attributes.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {

FilterFunction find_filter(std::string_view name) {
  using Finder = FilterFunction (*)(std::string_view);
  static constexpr Finder kFinders[] = {
      find_text_filter,  find_sequence_filter, find_selection_filter, find_number_filter,
      find_order_filter, find_layout_filter,   find_html_filter};
  for (const Finder finder : kFinders) {
    if (const FilterFunction filter = finder(name)) return filter;
  }
  return nullptr;
}

AttributePath::AttributePath(Runtime& runtime, const Value& path) {
  if (path.is_none()) return;
  if (!path.is_string()) {
    parts_.push_back(path);
    return;
  }
  std::string_view rest = text_of(path);
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    const bool is_number = !part.empty() && part.size() < 10 &&
                           part.find_first_not_of("0123456789") == std::string_view::npos;
    parts_.push_back(is_number ? Value::integer(std::stol(std::string(part)))
                               : runtime.string(std::string(part)));
    if (dot == std::string_view::npos) return;
    rest.remove_prefix(dot + 1);
  }
}

Value AttributePath::read(Runtime& runtime, Value value, const Value& otherwise) const {
  for (const Value& part : parts_) {
    value = get_item(runtime, value, part);
    if (value.is_undefined() && !otherwise.is_none()) value = otherwise;
  }
  return value;
}

Value ignore_case(Runtime& runtime, const Value& value) {
  if (!value.is_string()) return value;
  return runtime.string(to_lower(text_of(value)));
}

}  // namespace nibble::jinja

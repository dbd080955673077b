#include "chat/jinja/parameters.h"

#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/failure.h"

namespace nibble::jinja {

Parameters::Parameters(std::string_view function, const Arguments& arguments,
                       std::initializer_list<std::string_view> names, size_t n_required)
    : given_(names.size(), nullptr) {
  if (arguments.positional.size() > names.size()) {
    fail(fmt::format("{}() takes at most {} arguments ({} given)", function, names.size(),
                     arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) given_[i] = &arguments.positional[i];
  for (const auto& [key, value] : arguments.named) {
    const auto found = std::find(names.begin(), names.end(), key);
    if (found == names.end()) {
      fail(fmt::format("{}() got an unexpected keyword argument '{}'", function, key));
    }
    const auto index = static_cast<size_t>(found - names.begin());
    if (given_[index] != nullptr) {
      fail(fmt::format("{}() got multiple values for argument '{}'", function, key));
    }
    given_[index] = &value;
  }
  for (size_t i = 0; i < n_required; ++i) {
    if (given_[i] == nullptr) {
      fail(fmt::format("{}() missing required argument '{}'", function, *(names.begin() + i)));
    }
  }
}

const std::string& expect_text(const Value& value, std::string_view function) {
  if (!value.is_string()) {
    fail(fmt::format("{}() expects str, not {}", function, type_name(value)));
  }
  return text_of(value);
}

}  // namespace nibble::jinja

// Matches the arguments of a call with the parameters of a built-in function.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "chat/jinja/value.h"

namespace nibble::jinja {

/// The arguments by parameter, as Python binds them. Stops the rendering on too few, too many,
/// unknown or repeated ones.
class Parameters {
 public:
  Parameters(std::string_view function, const Arguments& arguments,
             std::initializer_list<std::string_view> names, size_t n_required = 0);

  bool has(size_t index) const { return given_[index] != nullptr; }
  /// The argument, or the fallback where none was given.
  Value get(size_t index, const Value& fallback = Value::none()) const {
    return has(index) ? *given_[index] : fallback;
  }
  bool flag(size_t index) const { return has(index) && truth(*given_[index]); }

 private:
  std::vector<const Value*> given_;
};

/// The text of an argument that must be a string.
const std::string& expect_text(const Value& value, std::string_view function);

}  // namespace nibble::jinja

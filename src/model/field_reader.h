// Typed reading of a JSON object's fields that reports the first impossible one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/result.h"

namespace nibble {

/// Reads fields of one object. After the first bad field every read returns its fallback (or the
/// least allowed value) and status() tells what was found and what was expected. A null field
/// counts as absent. Borrows the object.
class FieldReader {
 public:
  struct IntegerRange {
    int64_t least;
    int64_t most;
  };
  struct NumberRange {
    double least;
    double most;
  };

  ///   path     how messages name the object ("text_config", or "" for the document itself)
  ///   subject  the file, for the error
  FieldReader(const Json& object, std::string path, std::string subject);

  /// The field's value, or nullptr where it is absent or null.
  const Json* find(std::string_view name) const;

  /// Without a fallback the field is required.
  int64_t integer(std::string_view name, IntegerRange range, std::optional<int64_t> fallback = {});
  double number(std::string_view name, NumberRange range, std::optional<double> fallback = {});
  bool boolean(std::string_view name, bool fallback);
  std::string text(std::string_view name, std::string_view fallback);
  /// A field that holds an object; nullptr where it is absent.
  const Json* object(std::string_view name);
  /// Token ids: one integer or a list of them; empty where absent.
  std::vector<int32_t> token_ids(std::string_view name);

  /// Records a failure found by the caller; the first one stays.
  void fail(ErrorCode code, std::string message);
  /// Records that the field is not what was expected ("expected an integer from 1 to 4").
  void fail_field(std::string_view name, std::string_view expected);
  const Status& status() const { return status_; }

 private:
  const Json& object_;
  std::string path_;
  std::string subject_;
  Status status_;
};

}  // namespace nibble

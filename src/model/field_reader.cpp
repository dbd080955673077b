#include "model/field_reader.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace nibble {
namespace {

// Values are quoted in messages; a huge one would hide the message.
std::string shown(const Json& value) {
  constexpr size_t kMaxShown = 60;
  std::string text = dump_json_line(value);
  if (text.size() > kMaxShown) text = text.substr(0, kMaxShown) + "...";
  return text;
}

std::optional<int64_t> as_integer(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() &&
      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return std::nullopt;
  }
  return value.get<int64_t>();
}

}  // namespace

FieldReader::FieldReader(const Json& object, std::string path, std::string subject)
    : object_(object), path_(std::move(path)), subject_(std::move(subject)) {
  if (!object.is_object()) {
    fail(ErrorCode::kCorrupt, fmt::format("{} is {}; expected a JSON object",
                                          path_.empty() ? "the document" : path_, shown(object)));
  }
}

const Json* FieldReader::find(std::string_view name) const {
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(std::string(name));
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void FieldReader::fail(ErrorCode code, std::string message) {
  if (status_.has_value()) status_ = Error(code, std::move(message), subject_);
}

void FieldReader::fail_field(std::string_view name, std::string_view expected) {
  const Json* value = find(name);
  fail(ErrorCode::kCorrupt,
       fmt::format("the field {}{}{} is {}; expected {}", path_, path_.empty() ? "" : ".", name,
                   value == nullptr ? "missing" : shown(*value), expected));
}

int64_t FieldReader::integer(std::string_view name, IntegerRange range,
                             std::optional<int64_t> fallback) {
  const Json* value = find(name);
  if (value == nullptr && fallback) return *fallback;
  const std::optional<int64_t> read = value == nullptr ? std::nullopt : as_integer(*value);
  if (read && *read >= range.least && *read <= range.most) return *read;
  fail_field(name, fmt::format("an integer from {} to {}", range.least, range.most));
  return fallback.value_or(range.least);
}

double FieldReader::number(std::string_view name, NumberRange range,
                           std::optional<double> fallback) {
  const Json* value = find(name);
  if (value == nullptr && fallback) return *fallback;
  if (value != nullptr && value->is_number()) {
    const auto read = value->get<double>();
    if (read >= range.least && read <= range.most) return read;
  }
  fail_field(name, fmt::format("a number from {} to {}", range.least, range.most));
  return fallback.value_or(range.least);
}

bool FieldReader::boolean(std::string_view name, bool fallback) {
  const Json* value = find(name);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  fail_field(name, "true or false");
  return fallback;
}

std::string FieldReader::text(std::string_view name, std::string_view fallback) {
  const Json* value = find(name);
  if (value != nullptr && value->is_string()) return value->get<std::string>();
  if (value != nullptr) fail_field(name, "a string");
  return std::string(fallback);
}

const Json* FieldReader::object(std::string_view name) {
  const Json* value = find(name);
  if (value == nullptr || value->is_object()) return value;
  fail_field(name, "an object");
  return nullptr;
}

std::vector<int32_t> FieldReader::token_ids(std::string_view name) {
  std::vector<int32_t> ids;
  const Json* value = find(name);
  if (value == nullptr) return ids;
  const auto add = [&](const Json& item) {
    const std::optional<int64_t> id = as_integer(item);
    if (id && *id >= 0 && *id <= std::numeric_limits<int32_t>::max()) {
      ids.push_back(static_cast<int32_t>(*id));
    } else {
      fail_field(name, "a token id or a list of token ids");
    }
  };
  if (value->is_array()) {
    for (const Json& item : *value) add(item);
  } else {
    add(*value);
  }
  return ids;
}

}  // namespace nibble

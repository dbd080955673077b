#include "checkpoint/gguf/metadata.h"

#include <fmt/format.h>

#include <type_traits>

namespace nibble {
namespace {

// The value as a count, or nothing for negative ones and other kinds.
template <class T>
std::optional<uint64_t> as_count(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? 1 : 0;
  } else if constexpr (std::is_integral_v<T>) {
    if constexpr (std::is_signed_v<T>) {
      if (value < 0) return std::nullopt;
    }
    return static_cast<uint64_t>(value);
  }
  return std::nullopt;
}

template <class T>
std::optional<double> as_number(const T& value) {
  if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
    return static_cast<double>(value);
  }
  return std::nullopt;
}

template <class T>
std::optional<std::vector<uint64_t>> as_counts(const std::vector<T>& values) {
  std::vector<uint64_t> counts;
  counts.reserve(values.size());
  for (const T value : values) {
    const auto count = as_count<T>(value);
    if (!count) return std::nullopt;
    counts.push_back(*count);
  }
  return counts;
}

std::optional<std::vector<uint64_t>> as_counts(const std::vector<std::string>&) {
  return std::nullopt;
}

}  // namespace

Error GgufMetadata::corrupt(std::string message) const {
  return Error(ErrorCode::kCorrupt, std::move(message), subject_);
}

Error GgufMetadata::wrong_kind(std::string_view key, std::string_view expected) const {
  return corrupt(fmt::format("the metadata field \"{}\" is not {}", key, expected));
}

Error GgufMetadata::missing(std::string_view key) const {
  return corrupt(
      fmt::format("has no metadata field \"{}\", which a model of its architecture needs", key));
}

Result<std::optional<uint64_t>> GgufMetadata::find_count(std::string_view key) const {
  const GgufValue* value = header_.find(key);
  if (value == nullptr) return std::optional<uint64_t>();
  const auto count = std::visit([](const auto& held) { return as_count(held); }, *value);
  if (!count) return wrong_kind(key, "an integer of at least 0");
  return count;
}

Result<std::optional<double>> GgufMetadata::find_number(std::string_view key) const {
  const GgufValue* value = header_.find(key);
  if (value == nullptr) return std::optional<double>();
  const auto number = std::visit([](const auto& held) { return as_number(held); }, *value);
  if (!number) return wrong_kind(key, "a number");
  return number;
}

Result<std::optional<std::string>> GgufMetadata::find_text(std::string_view key) const {
  const GgufValue* value = header_.find(key);
  if (value == nullptr) return std::optional<std::string>();
  const auto* text = std::get_if<std::string>(value);
  if (text == nullptr) return wrong_kind(key, "a text");
  return std::optional<std::string>(*text);
}

Result<std::optional<bool>> GgufMetadata::find_boolean(std::string_view key) const {
  const GgufValue* value = header_.find(key);
  if (value == nullptr) return std::optional<bool>();
  const auto* boolean = std::get_if<bool>(value);
  if (boolean == nullptr) return wrong_kind(key, "a boolean");
  return std::optional<bool>(*boolean);
}

Result<std::optional<std::vector<uint64_t>>> GgufMetadata::find_counts(std::string_view key) const {
  const GgufValue* value = header_.find(key);
  if (value == nullptr) return std::optional<std::vector<uint64_t>>();
  const auto* array = std::get_if<GgufArray>(value);
  if (array != nullptr) {
    auto counts = std::visit([](const auto& held) { return as_counts(held); }, *array);
    if (counts) return counts;
  }
  return wrong_kind(key, "an array of integers of at least 0");
}

Result<const std::vector<std::string>*> GgufMetadata::find_texts(std::string_view key) const {
  const GgufValue* value = header_.find(key);
  if (value == nullptr) return nullptr;
  const auto* array = std::get_if<GgufArray>(value);
  const auto* texts = array == nullptr ? nullptr : std::get_if<std::vector<std::string>>(array);
  if (texts == nullptr) return wrong_kind(key, "an array of texts");
  return texts;
}

Result<uint64_t> GgufMetadata::count(std::string_view key) const {
  ASSIGN_OR_RETURN(const auto found, find_count(key));
  if (!found) return missing(key);
  return *found;
}

Result<double> GgufMetadata::number(std::string_view key) const {
  ASSIGN_OR_RETURN(const auto found, find_number(key));
  if (!found) return missing(key);
  return *found;
}

Result<std::string> GgufMetadata::text(std::string_view key) const {
  ASSIGN_OR_RETURN(auto found, find_text(key));
  if (!found) return missing(key);
  return *std::move(found);
}

Result<uint64_t> GgufMetadata::uniform_count(std::string_view key) const {
  const GgufValue* value = header_.find(key);
  if (value == nullptr || !std::holds_alternative<GgufArray>(*value)) return count(key);
  ASSIGN_OR_RETURN(const auto counts, find_counts(key));
  uint64_t uniform = 0;
  for (const uint64_t each : *counts) {
    if (each == 0) continue;
    if (uniform != 0 && each != uniform) {
      return Error(ErrorCode::kUnsupported,
                   fmt::format("the metadata field \"{}\" differs from block to block ({} and {}); "
                               "expected one value",
                               key, uniform, each),
                   subject_);
    }
    uniform = each;
  }
  return uniform;
}

}  // namespace nibble

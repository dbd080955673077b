#include "tokenizer/definition/fields.h"

#include <fmt/format.h>

namespace nibble {

Result<FieldsView> FieldsView::open(const SortedJson& json, std::string path,
                                    std::string_view subject) {
  if (!json.is_object()) {
    return Error(ErrorCode::kCorrupt,
                 fmt::format("{} must be an object, found {}",
                             path.empty() ? "the document" : "\"" + path + "\"", excerpt(json)),
                 std::string(subject));
  }
  return FieldsView(json, std::move(path), subject);
}

const SortedJson* FieldsView::find(std::string_view key) const {
  const auto found = json_->find(key);
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

Result<const SortedJson*> FieldsView::require(std::string_view key) const {
  const SortedJson* const value = find(key);
  if (value == nullptr) return corrupt(fmt::format("\"{}\" is missing", path_of(key)));
  return value;
}

Result<bool> FieldsView::bool_or(std::string_view key, bool fallback) const {
  const SortedJson* const value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    return corrupt(
        fmt::format("\"{}\" must be true or false, found {}", path_of(key), excerpt(*value)));
  }
  return value->get<bool>();
}

Result<std::string_view> FieldsView::string_or(std::string_view key,
                                               std::string_view fallback) const {
  const SortedJson* const value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) {
    return corrupt(fmt::format("\"{}\" must be a string, found {}", path_of(key), excerpt(*value)));
  }
  return std::string_view(value->get_ref<const std::string&>());
}

Result<std::string_view> FieldsView::string(std::string_view key) const {
  RETURN_IF_ERROR(require(key));
  return string_or(key, "");
}

Result<FieldsView> FieldsView::object(std::string_view key) const {
  ASSIGN_OR_RETURN(const SortedJson* const value, require(key));
  return open(*value, path_of(key), subject_);
}

Result<const SortedJson*> FieldsView::array_or_null(std::string_view key) const {
  const SortedJson* const value = find(key);
  if (value != nullptr && !value->is_array()) {
    return corrupt(fmt::format("\"{}\" must be an array, found {}", path_of(key), excerpt(*value)));
  }
  return value;
}

std::string FieldsView::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

Error FieldsView::corrupt(std::string_view what) const {
  return Error(ErrorCode::kCorrupt, fmt::format("not a usable tokenizer: {}", what),
               std::string(subject_));
}

Error FieldsView::unsupported(std::string_view what) const {
  return Error(
      ErrorCode::kUnsupported,
      fmt::format("this tokenizer needs what nibble does not support: {} in \"{}\"", what, path_),
      std::string(subject_));
}

std::optional<int32_t> as_token_id(const SortedJson& json) {
  // Whole numbers below 0 are the only ones that the parser stores as signed.
  if (!json.is_number_unsigned()) return std::nullopt;
  const auto value = json.get<uint64_t>();
  if (value >= static_cast<uint64_t>(kMaxTokenCount)) return std::nullopt;
  return static_cast<int32_t>(value);
}

std::string excerpt(const SortedJson& json) {
  constexpr size_t kMaxBytes = 80;
  if (json.is_object()) return fmt::format("an object with {} keys", json.size());
  if (json.is_array()) return fmt::format("an array of {} values", json.size());
  if (json.is_string() && json.get_ref<const std::string&>().size() > kMaxBytes) {
    return fmt::format("a string of {} bytes", json.get_ref<const std::string&>().size());
  }
  return json.dump(-1, ' ', true, SortedJson::error_handler_t::replace);
}

}  // namespace nibble

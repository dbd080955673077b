// Typed reading of the objects inside tokenizer.json, with errors that name the place.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/json.h"
#include "core/result.h"

namespace nibble {

/// A JSON object, borrowed, with the path that leads to it ("model", "added_tokens[3]"). A missing
/// field and one that is null are the same.
class FieldsView {
 public:
  /// kCorrupt if `json` is not an object.
  static Result<FieldsView> open(const SortedJson& json, std::string path,
                                 std::string_view subject);

  /// The value, or nullptr where it is missing or null.
  const SortedJson* find(std::string_view key) const;
  /// kCorrupt where it is missing or null.
  Result<const SortedJson*> require(std::string_view key) const;

  Result<bool> bool_or(std::string_view key, bool fallback) const;
  /// A view into the JSON.
  Result<std::string_view> string_or(std::string_view key, std::string_view fallback) const;
  Result<std::string_view> string(std::string_view key) const;
  /// The object below `key`.
  Result<FieldsView> object(std::string_view key) const;
  /// The array below `key`, or nullptr where it is missing or null.
  Result<const SortedJson*> array_or_null(std::string_view key) const;

  const std::string& path() const { return path_; }
  std::string_view subject() const { return subject_; }
  std::string path_of(std::string_view key) const;

  Error corrupt(std::string_view what) const;
  /// For a "type" that nibble does not carry out.
  Error unsupported(std::string_view what) const;

 private:
  FieldsView(const SortedJson& json, std::string path, std::string_view subject)
      : json_(&json), path_(std::move(path)), subject_(subject) {}
  const SortedJson* json_;
  std::string path_;
  std::string_view subject_;
};

/// The largest token id accepted, plus one: far above any real vocabulary, small enough for tables
/// indexed by id.
inline constexpr int32_t kMaxTokenCount = 1 << 22;

/// A token id: a whole number from 0 below kMaxTokenCount, else nothing.
std::optional<int32_t> as_token_id(const SortedJson& json);

/// At most 80 bytes of a JSON value, for messages.
std::string excerpt(const SortedJson& json);

}  // namespace nibble

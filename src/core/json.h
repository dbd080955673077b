// The one door to the JSON library: strict parsing into trees, with limits and errors as values.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/result.h"

namespace nibble {

/// Keeps the order of keys; look-up is linear, so for documents with small objects (configs,
/// messages).
using Json = nlohmann::ordered_json;

/// Keys sorted; look-up is logarithmic, for documents with huge objects (tokenizer.json, headers).
using SortedJson = nlohmann::json;

/// What parsing refuses before building a tree.
struct JsonLimits {
  int max_depth = 128;
  bool reject_duplicate_keys = false;  ///< otherwise the last one wins, as in Python
};

/// Parses UTF-8 text. `subject` names the document in the error, which tells line and column.
/// A leading byte order mark is refused. Errors: kCorrupt, kLimit.
Result<Json> parse_json(std::string_view text, std::string_view subject,
                        const JsonLimits& limits = {});
Result<SortedJson> parse_sorted_json(std::string_view text, std::string_view subject,
                                     const JsonLimits& limits = {});

/// Receives a document piece by piece. Every function returns true to go on, false to stop.
class JsonEvents : public nlohmann::json_sax<SortedJson> {
 public:
  bool parse_error(size_t position, const std::string& last_token,
                   const nlohmann::json::exception& exception) final;

 private:
  friend Status walk_json(std::string_view, std::string_view, JsonEvents&, const JsonLimits&);
  size_t error_position_ = 0;
  std::string error_text_;
};

/// Feeds a document to `events` without building a tree, for huge untrusted documents.
/// `limits.reject_duplicate_keys` is left to the receiver. Success also where the receiver stopped.
/// Errors: kCorrupt, kLimit.
Status walk_json(std::string_view text, std::string_view subject, JsonEvents& events,
                 const JsonLimits& limits = {});

/// Reads and parses a whole file. Errors: as parse_json, and those of read_file.
Result<Json> read_json_file(const std::string& path);

/// Text as the Hugging Face tools write it: two spaces of indent, no ASCII escaping, a final
/// newline. Invalid UTF-8 in strings is replaced by U+FFFD.
std::string dump_json(const Json& json);

/// The same on one line, without a newline.
std::string dump_json_line(const Json& json);

}  // namespace nibble

#include "tokenizer/tokenizer_config.h"

#include <fmt/format.h>

#include "tokenizer/definition/fields.h"

namespace nibble {
namespace {

Result<std::optional<std::string>> read_token(const FieldsView& fields, std::string_view key) {
  const SortedJson* const value = fields.find(key);
  if (value == nullptr) return std::optional<std::string>();
  if (value->is_string()) return std::optional<std::string>(value->get<std::string>());
  ASSIGN_OR_RETURN(const FieldsView token, fields.object(key));
  ASSIGN_OR_RETURN(std::string_view content, token.string("content"));
  return std::optional<std::string>(content);
}

}  // namespace

Result<TokenizerConfig> parse_tokenizer_config(std::string_view json, std::string_view subject) {
  ASSIGN_OR_RETURN(const SortedJson document, parse_sorted_json(json, subject));
  ASSIGN_OR_RETURN(const FieldsView fields, FieldsView::open(document, "", subject));
  TokenizerConfig config;
  ASSIGN_OR_RETURN(config.bos_token, read_token(fields, "bos_token"));
  ASSIGN_OR_RETURN(config.eos_token, read_token(fields, "eos_token"));
  ASSIGN_OR_RETURN(config.pad_token, read_token(fields, "pad_token"));
  ASSIGN_OR_RETURN(config.unk_token, read_token(fields, "unk_token"));
  ASSIGN_OR_RETURN(config.add_bos_token, fields.bool_or("add_bos_token", false));
  ASSIGN_OR_RETURN(config.add_eos_token, fields.bool_or("add_eos_token", false));
  return config;
}

}  // namespace nibble

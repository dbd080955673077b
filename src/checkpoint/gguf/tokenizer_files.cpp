#include "checkpoint/gguf/tokenizer_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "checkpoint/gguf/metadata.h"
#include "checkpoint/gguf/vocabulary.h"
#include "core/json.h"

namespace nibble {
namespace {

// How text is cut into words before the merges, by the name of the pre-tokenizer.
struct PreTokenizer {
  std::string_view name;
  std::string_view regex;
};
constexpr std::array<PreTokenizer, 2> kPreTokenizers = {{
    {"qwen35", R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
               R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {"qwen2", R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
              R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
}};

// Converters mark every added token in angle brackets as a control token. These of the family are
// not: text may hold them.
constexpr std::array<std::string_view, 6> kNotSpecial = {"<|fim_prefix|>", "<|fim_middle|>",
                                                         "<|fim_suffix|>", "<|fim_pad|>",
                                                         "<|repo_name|>",  "<|file_sep|>"};

// Tokens that end an answer in this family, whatever the metadata say.
constexpr std::array<std::string_view, 2> kEndTokens = {"<|im_end|>", "<|endoftext|>"};

bool is_special(const GgufVocabulary& vocabulary, size_t id) {
  return vocabulary.types[id] == GgufTokenType::kControl &&
         std::find(kNotSpecial.begin(), kNotSpecial.end(), (*vocabulary.tokens)[id]) ==
             kNotSpecial.end();
}

Json added_token(const GgufVocabulary& vocabulary, size_t id) {
  return Json{{"content", (*vocabulary.tokens)[id]},
              {"lstrip", false},
              {"normalized", false},
              {"rstrip", false},
              {"single_word", false},
              {"special", is_special(vocabulary, id)}};
}

Json byte_level(bool trim_offsets) {
  return Json{{"type", "ByteLevel"},
              {"add_prefix_space", false},
              {"trim_offsets", trim_offsets},
              {"use_regex", false}};
}

// Written piece by piece: a tree of so many values would take hundreds of megabytes. Added tokens
// stand in the vocabulary too where others follow them, so that its ids have no gaps.
void append_vocabulary(const GgufVocabulary& vocabulary, std::string& text) {
  size_t n_tokens = vocabulary.n_used;
  while (n_tokens > 0 && vocabulary.is_added(n_tokens - 1)) --n_tokens;
  const char* separator = "";
  text += "\"vocab\": {";
  for (size_t id = 0; id < n_tokens; ++id) {
    text += fmt::format("{}{}: {}", separator, dump_json_line(Json((*vocabulary.tokens)[id])), id);
    separator = ", ";
  }
  separator = "";
  text += "}, \"merges\": [";
  for (size_t i = 0; vocabulary.merges != nullptr && i < vocabulary.merges->size(); ++i) {
    text += fmt::format("{}{}", separator, dump_json_line(Json((*vocabulary.merges)[i])));
    separator = ", ";
  }
  text += "]";
}

Result<std::string> tokenizer_json(const GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(const GgufVocabulary vocabulary, read_gguf_vocabulary(metadata));
  const auto* pre =
      std::find_if(kPreTokenizers.begin(), kPreTokenizers.end(),
                   [&](const PreTokenizer& row) { return row.name == vocabulary.pre; });
  if (pre == kPreTokenizers.end()) {
    return Error(ErrorCode::kUnsupported,
                 fmt::format("has the pre-tokenizer \"{:.80}\"; supported are qwen35 and qwen2",
                             vocabulary.pre),
                 metadata.subject());
  }
  Json added = Json::array();
  for (size_t id = 0; id < vocabulary.n_used; ++id) {
    if (!vocabulary.is_added(id)) continue;
    added.push_back(Json{{"id", id}});
    added.back().update(added_token(vocabulary, id));
  }
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", pre->regex}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  const Json pre_tokenizer = {{"type", "Sequence"},
                              {"pretokenizers", Json::array({split, byte_level(true)})}};
  std::string text = fmt::format(
      "{{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": {}, "
      "\"normalizer\": {{\"type\": \"NFC\"}}, \"pre_tokenizer\": {}, \"post_processor\": {}, "
      "\"decoder\": {}, \"model\": {{\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
      "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": false, "
      "\"byte_fallback\": false, \"ignore_merges\": false, ",
      dump_json_line(added), dump_json_line(pre_tokenizer), dump_json_line(byte_level(false)),
      dump_json_line(byte_level(false)));
  append_vocabulary(vocabulary, text);
  text += "}}\n";
  return text;
}

Result<std::string> tokenizer_config_json(const GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(const GgufVocabulary vocabulary, read_gguf_vocabulary(metadata));
  Json config = Json::object();
  for (const std::string_view flag : {"add_bos_token", "add_eos_token"}) {
    ASSIGN_OR_RETURN(const auto adds,
                     metadata.find_boolean(fmt::format("tokenizer.ggml.{}", flag)));
    config[std::string(flag)] = adds.value_or(false);
  }
  config["add_prefix_space"] = false;
  constexpr std::array<std::array<std::string_view, 2>, 4> kRoles = {{
      {"bos_token", "bos_token_id"},
      {"eos_token", "eos_token_id"},
      {"pad_token", "padding_token_id"},
      {"unk_token", "unknown_token_id"},
  }};
  for (const auto& [name, key] : kRoles) {
    ASSIGN_OR_RETURN(const auto id,
                     find_gguf_token(metadata, vocabulary, fmt::format("tokenizer.ggml.{}", key)));
    config[std::string(name)] = id ? Json((*vocabulary.tokens)[*id]) : Json(nullptr);
  }
  config["clean_up_tokenization_spaces"] = false;
  config["errors"] = "replace";
  config["split_special_tokens"] = false;
  config["tokenizer_class"] = "Qwen2Tokenizer";
  return dump_json(config);
}

// The ids that end an answer: those that the metadata name, and those that this family always ends
// with.
Result<std::set<uint64_t>> end_tokens(const GgufMetadata& metadata,
                                      const GgufVocabulary& vocabulary) {
  std::set<uint64_t> ids;
  for (const std::string_view key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                     "tokenizer.ggml.eom_token_id"}) {
    ASSIGN_OR_RETURN(const auto id, find_gguf_token(metadata, vocabulary, key));
    if (id) ids.insert(*id);
  }
  for (size_t id = 0; id < vocabulary.n_used; ++id) {
    if (vocabulary.types[id] != GgufTokenType::kControl) continue;
    const std::string& token = (*vocabulary.tokens)[id];
    if (std::find(kEndTokens.begin(), kEndTokens.end(), token) != kEndTokens.end()) ids.insert(id);
  }
  return ids;
}

// Sampling settings that newer files carry.
Result<Json> sampling(const GgufMetadata& metadata) {
  constexpr std::array<std::array<std::string_view, 2>, 5> kSettings = {{
      {"temperature", "general.sampling.temp"},
      {"top_k", "general.sampling.top_k"},
      {"top_p", "general.sampling.top_p"},
      {"min_p", "general.sampling.min_p"},
      {"repetition_penalty", "general.sampling.penalty_repeat"},
  }};
  Json settings = Json::object();
  for (const auto& [name, key] : kSettings) {
    ASSIGN_OR_RETURN(const auto number, metadata.find_number(key));
    if (!number) continue;
    const bool is_count = name == "top_k" && std::abs(*number) < 1e9;
    settings[std::string(name)] = is_count ? Json(static_cast<int64_t>(*number)) : Json(*number);
  }
  if (!settings.empty()) settings["do_sample"] = true;
  return settings;
}

Result<std::string> generation_config_json(const GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(const GgufVocabulary vocabulary, read_gguf_vocabulary(metadata));
  ASSIGN_OR_RETURN(Json config, sampling(metadata));
  for (const std::string_view role : {"bos", "padding"}) {
    ASSIGN_OR_RETURN(
        const auto id,
        find_gguf_token(metadata, vocabulary, fmt::format("tokenizer.ggml.{}_token_id", role)));
    if (id) config[role == "bos" ? "bos_token_id" : "pad_token_id"] = *id;
  }
  ASSIGN_OR_RETURN(const std::set<uint64_t> ids, end_tokens(metadata, vocabulary));
  if (!ids.empty()) config["eos_token_id"] = ids;
  return dump_json(config);
}

Result<std::string> chat_template(const GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(auto text, metadata.find_text("tokenizer.chat_template"));
  if (text) return *std::move(text);
  return Error(ErrorCode::kNotFound, "the file has no chat template", metadata.subject());
}

}  // namespace

Result<std::string> gguf_side_file(const GgufHeader& header, std::string_view name,
                                   const std::string& subject) {
  const GgufMetadata metadata(header, subject);
  if (name == "tokenizer.json") return tokenizer_json(metadata);
  if (name == "tokenizer_config.json") return tokenizer_config_json(metadata);
  if (name == "generation_config.json") return generation_config_json(metadata);
  if (name == "chat_template.jinja") return chat_template(metadata);
  return Error(ErrorCode::kNotFound, fmt::format("a GGUF file has no {}", name), subject);
}

}  // namespace nibble

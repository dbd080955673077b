#include "checkpoint/gguf_output/tokenizer_fields.h"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/log.h"

namespace nibble {
namespace {

enum class TokenKind : int32_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

// How readers of GGUF call the patterns by which tokenizers split text into words.
struct SplitName {
  std::string_view pattern;
  std::string_view name;
};
constexpr std::array kSplitNames = {
    SplitName{R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
              R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
              "qwen35"},
    SplitName{R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
              R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
              "qwen2"},
};

struct AddedToken {
  std::string content;
  bool special = false;
};

Error corrupt(const std::string& what, const std::string& subject) {
  return Error(ErrorCode::kCorrupt, what, subject + "/tokenizer.json");
}

const SortedJson* find(const SortedJson& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(name);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

const std::string* find_text(const SortedJson& object, const char* name) {
  const SortedJson* value = find(object, name);
  return value == nullptr ? nullptr : value->get_ptr<const std::string*>();
}

const std::string* step_pattern(const SortedJson& step) {
  const SortedJson* pattern = find(step, "pattern");
  return pattern == nullptr ? nullptr : find_text(*pattern, "Regex");
}

// The first pattern by which the pre-tokenizer splits.
const std::string* split_pattern(const SortedJson& tokenizer) {
  const SortedJson* pre = find(tokenizer, "pre_tokenizer");
  if (pre == nullptr) return nullptr;
  const SortedJson* steps = find(*pre, "pretokenizers");
  if (steps == nullptr || !steps->is_array()) return step_pattern(*pre);
  for (const SortedJson& step : *steps) {
    if (const std::string* pattern = step_pattern(step)) return pattern;
  }
  return nullptr;
}

Result<std::string> split_name(const SortedJson& tokenizer, const std::string& subject) {
  const std::string* pattern = split_pattern(tokenizer);
  for (const SplitName& known : kSplitNames) {
    if (pattern != nullptr && *pattern == known.pattern) return std::string(known.name);
  }
  return Error(ErrorCode::kUnsupported,
               fmt::format("splits text by {:.200}, for which GGUF has no name that nibble knows; "
                           "the tokenizers of Qwen2, Qwen3 and Qwen3.5 can be written",
                           pattern == nullptr ? std::string("no pattern") : *pattern),
               subject + "/tokenizer.json");
}

// Tokens by id, and which of them were added to the vocabulary.
struct Vocabulary {
  std::vector<std::optional<std::string>> tokens;
  std::unordered_map<uint64_t, AddedToken> added;
};

Status put_token(Vocabulary& vocabulary, const SortedJson& id, const std::string& token,
                 const std::string& subject) {
  if (!id.is_number_unsigned() || id.get<uint64_t>() >= vocabulary.tokens.size()) {
    return corrupt(fmt::format("the token \"{:.80}\" has the id {:.40}; the embedding has {} rows",
                               token, id.dump(-1, ' ', false, SortedJson::error_handler_t::replace),
                               vocabulary.tokens.size()),
                   subject);
  }
  vocabulary.tokens[id.get<uint64_t>()] = token;
  return {};
}

Status put_added(Vocabulary& vocabulary, const SortedJson& id, const SortedJson& token,
                 const std::string& subject) {
  const std::string* content = find_text(token, "content");
  if (content == nullptr) return corrupt("holds an added token without content", subject);
  RETURN_IF_ERROR(put_token(vocabulary, id, *content, subject));
  const SortedJson* special = find(token, "special");
  vocabulary.added[id.get<uint64_t>()] = {*content,
                                          special != nullptr && *special == SortedJson(true)};
  return {};
}

Result<Vocabulary> read_vocabulary(const SortedJson& tokenizer, uint64_t vocab_size,
                                   const std::string& subject) {
  const SortedJson* model = find(tokenizer, "model");
  const std::string* type = model == nullptr ? nullptr : find_text(*model, "type");
  const SortedJson* vocab = model == nullptr ? nullptr : find(*model, "vocab");
  if (type == nullptr || *type != "BPE" || vocab == nullptr || !vocab->is_object()) {
    return Error(ErrorCode::kUnsupported,
                 "is not a BPE tokenizer; only byte-level BPE can be written to GGUF",
                 subject + "/tokenizer.json");
  }
  Vocabulary vocabulary;
  vocabulary.tokens.resize(vocab_size);
  for (const auto& [token, id] : vocab->items()) {
    RETURN_IF_ERROR(put_token(vocabulary, id, token, subject));
  }
  const SortedJson* added = find(tokenizer, "added_tokens");
  if (added == nullptr) return vocabulary;
  if (!added->is_array()) return corrupt("added_tokens is not a list", subject);
  for (const SortedJson& token : *added) {
    const SortedJson* id = find(token, "id");
    if (id == nullptr) return corrupt("holds an added token without an id", subject);
    RETURN_IF_ERROR(put_added(vocabulary, *id, token, subject));
  }
  return vocabulary;
}

// Tokenizers keep some markers as ordinary added tokens; readers of GGUF want them as control
// tokens.
bool looks_special(std::string_view token) {
  return token.size() > 4 && token.starts_with("<|") && token.ends_with("|>");
}

void add_tokens(const Vocabulary& vocabulary, std::vector<GgufField>& fields) {
  std::vector<std::string> tokens;
  std::vector<int32_t> kinds;
  tokens.reserve(vocabulary.tokens.size());
  kinds.reserve(vocabulary.tokens.size());
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    TokenKind kind = TokenKind::kNormal;
    if (!vocabulary.tokens[id]) {
      kind = TokenKind::kUnused;
    } else if (const auto at = vocabulary.added.find(id); at != vocabulary.added.end()) {
      const bool control = at->second.special || looks_special(at->second.content);
      kind = control ? TokenKind::kControl : TokenKind::kUserDefined;
    }
    tokens.push_back(vocabulary.tokens[id].value_or(fmt::format("[PAD{}]", id)));
    kinds.push_back(static_cast<int32_t>(kind));
  }
  fields.push_back({"tokenizer.ggml.tokens", GgufArray(std::move(tokens))});
  fields.push_back({"tokenizer.ggml.token_type", GgufArray(std::move(kinds))});
}

// A merge is "a b" in GGUF. Parts never hold a space, which byte-level BPE writes as another
// letter; one that does gets that letter.
std::string merge_part(const std::string& part) {
  std::string text;
  for (const char c : part) {
    if (c == ' ') {
      text += "\xc4\xa0";
    } else {
      text.push_back(c);
    }
  }
  return text;
}

// An empty list is written too: llama.cpp refuses a file without one.
Status add_merges(const SortedJson& tokenizer, const std::string& subject,
                  std::vector<GgufField>& fields) {
  const SortedJson* merges = find(tokenizer["model"], "merges");
  if (merges == nullptr) {
    fields.push_back({"tokenizer.ggml.merges", GgufArray(std::vector<std::string>())});
    return {};
  }
  if (!merges->is_array()) return corrupt("merges is not a list", subject);
  std::vector<std::string> texts;
  texts.reserve(merges->size());
  for (const SortedJson& merge : *merges) {
    if (merge.is_string()) {
      texts.push_back(merge.get<std::string>());
      continue;
    }
    if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) {
      return corrupt("holds a merge that is not a pair of texts", subject);
    }
    texts.push_back(fmt::format("{} {}", merge_part(merge[0].get_ref<const std::string&>()),
                                merge_part(merge[1].get_ref<const std::string&>())));
  }
  fields.push_back({"tokenizer.ggml.merges", GgufArray(std::move(texts))});
  return {};
}

struct SpecialName {
  std::string_view name;  ///< "eos", as in "eos_token" and "eos_token_id"
  std::string_view key;
};
constexpr std::array kSpecialNames = {
    SpecialName{"bos", "tokenizer.ggml.bos_token_id"},
    SpecialName{"eos", "tokenizer.ggml.eos_token_id"},
    SpecialName{"unk", "tokenizer.ggml.unknown_token_id"},
    SpecialName{"pad", "tokenizer.ggml.padding_token_id"},
    SpecialName{"mask", "tokenizer.ggml.mask_token_id"},
};

// An id of config.json or of its text_config, where it is one number.
std::optional<uint64_t> config_id(const Json& config, const std::string& name) {
  const auto number = [&](const Json& object) -> const Json* {
    const auto at = object.find(name);
    return at == object.end() || at->is_null() ? nullptr : &*at;
  };
  const Json* id = number(config);
  const auto text = config.find("text_config");
  if (id == nullptr && text != config.end() && text->is_object()) id = number(*text);
  if (id == nullptr || !id->is_number_unsigned()) return std::nullopt;
  return id->get<uint64_t>();
}

void add_special_ids(const Vocabulary& vocabulary, const SortedJson& settings, const Json& config,
                     std::vector<GgufField>& fields) {
  for (const SpecialName& special : kSpecialNames) {
    const std::string name = fmt::format("{}_token", special.name);
    std::optional<uint64_t> id;
    const std::string* content = find_text(settings, name.c_str());
    if (const SortedJson* entry = find(settings, name.c_str()); entry && entry->is_object()) {
      content = find_text(*entry, "content");
    }
    for (const auto& [added_id, token] : vocabulary.added) {
      if (content != nullptr && token.content == *content && (!id || added_id < *id)) id = added_id;
    }
    if (!id) id = config_id(config, name + "_id");
    if (!id || *id >= vocabulary.tokens.size()) continue;
    fields.push_back({std::string(special.key), static_cast<uint32_t>(*id)});
  }
}

bool ends_in_byte_level(const SortedJson& tokenizer) {
  const SortedJson* post = find(tokenizer, "post_processor");
  if (post == nullptr) return false;
  const auto is_byte_level = [](const SortedJson& step) {
    const std::string* type = find_text(step, "type");
    return type != nullptr && *type == "ByteLevel";
  };
  const SortedJson* steps = find(*post, "processors");
  if (steps == nullptr || !steps->is_array()) return is_byte_level(*post);
  for (const SortedJson& step : *steps) {
    if (is_byte_level(step)) return true;
  }
  return false;
}

// Whether encoding puts a special token before or after every text.
void add_borders(const SortedJson& tokenizer, const SortedJson& settings,
                 std::vector<GgufField>& fields) {
  const bool none = ends_in_byte_level(tokenizer);
  for (const char* name : {"add_bos_token", "add_eos_token"}) {
    const SortedJson* stated = find(settings, name);
    if (!none && (stated == nullptr || !stated->is_boolean())) continue;
    fields.push_back({fmt::format("tokenizer.ggml.{}", name), !none && stated->get<bool>()});
  }
}

// tokenizer_config.json may hold the template, or several by name; else it is a file of its own.
void add_chat_template(const SortedJson& settings, const std::string& file,
                       std::vector<GgufField>& fields) {
  const SortedJson* stated = find(settings, "chat_template");
  if (stated == nullptr || (!stated->is_string() && !stated->is_array())) {
    if (!file.empty()) fields.push_back({"tokenizer.chat_template", file});
    return;
  }
  if (stated->is_string()) {
    fields.push_back({"tokenizer.chat_template", stated->get<std::string>()});
    return;
  }
  std::vector<std::string> names;
  for (const SortedJson& entry : *stated) {
    const std::string* name = find_text(entry, "name");
    const std::string* text = find_text(entry, "template");
    if (name == nullptr || text == nullptr) continue;
    if (*name == "default") {
      fields.push_back({"tokenizer.chat_template", *text});
    } else {
      names.push_back(*name);
      fields.push_back({fmt::format("tokenizer.chat_template.{}", *name), *text});
    }
  }
  if (!names.empty()) {
    fields.push_back({"tokenizer.chat_templates", GgufArray(std::move(names))});
  }
}

}  // namespace

Result<std::vector<GgufField>> gguf_tokenizer_fields(const TokenizerTexts& texts,
                                                     uint64_t vocab_size, const Json& config,
                                                     const std::string& subject) {
  std::vector<GgufField> fields;
  SortedJson settings = SortedJson::object();
  if (!texts.settings.empty()) {
    ASSIGN_OR_RETURN(settings,
                     parse_sorted_json(texts.settings, subject + "/tokenizer_config.json"));
  }
  if (texts.tokenizer.empty()) {
    fields.push_back({"tokenizer.ggml.model", std::string("no_vocab")});
    add_chat_template(settings, texts.chat_template, fields);
    return fields;
  }
  ASSIGN_OR_RETURN(const SortedJson tokenizer,
                   parse_sorted_json(texts.tokenizer, subject + "/tokenizer.json"));
  ASSIGN_OR_RETURN(const Vocabulary vocabulary, read_vocabulary(tokenizer, vocab_size, subject));
  ASSIGN_OR_RETURN(std::string split, split_name(tokenizer, subject));
  fields.push_back({"tokenizer.ggml.model", std::string("gpt2")});
  fields.push_back({"tokenizer.ggml.pre", std::move(split)});
  add_tokens(vocabulary, fields);
  RETURN_IF_ERROR(add_merges(tokenizer, subject, fields));
  add_special_ids(vocabulary, settings, config, fields);
  add_borders(tokenizer, settings, fields);
  add_chat_template(settings, texts.chat_template, fields);
  return fields;
}

}  // namespace nibble

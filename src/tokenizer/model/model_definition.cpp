#include "tokenizer/model/model_definition.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace nibble {
namespace {

// At most 40 bytes, quoted and with odd characters escaped.
std::string token_name(std::string_view text) {
  constexpr size_t kMaxBytes = 40;
  if (text.size() > kMaxBytes) return fmt::format("(a token of {} bytes)", text.size());
  return SortedJson(std::string(text)).dump();
}

using Parts = std::pair<std::string_view, std::string_view>;

// Both parts of one entry of "merges"; nothing if it is neither of the two forms.
std::optional<Parts> parts_of(const SortedJson& entry) {
  if (entry.is_array()) {
    if (entry.size() != 2 || !entry[0].is_string() || !entry[1].is_string()) return std::nullopt;
    return Parts(entry[0].get_ref<const std::string&>(), entry[1].get_ref<const std::string&>());
  }
  if (!entry.is_string()) return std::nullopt;
  const std::string_view line = entry.get_ref<const std::string&>();
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
    return std::nullopt;
  }
  return Parts(line.substr(0, space), line.substr(space + 1));
}

// The first line of a merges.txt, which some converters leave in the list.
bool is_version_line(const SortedJson& entry) {
  return entry.is_string() && entry.get_ref<const std::string&>().starts_with("#version");
}

}  // namespace

Status check_model_options(const FieldsView& model) {
  ASSIGN_OR_RETURN(const std::string_view type, model.string_or("type", "BPE"));
  if (type != "BPE") return model.unsupported(fmt::format("the model type \"{}\"", type));
  for (const char* const affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    ASSIGN_OR_RETURN(const std::string_view value, model.string_or(affix, ""));
    if (!value.empty()) return model.unsupported(fmt::format("a {}", affix));
  }
  const SortedJson* const dropout = model.find("dropout");
  if (dropout == nullptr) return {};
  if (!dropout->is_number()) return model.corrupt("\"model.dropout\" must be a number");
  if (dropout->get<double>() != 0) return model.unsupported("dropout of merges");
  return {};
}

Status read_vocabulary(const FieldsView& model, Vocabulary& vocabulary) {
  ASSIGN_OR_RETURN(const SortedJson* const vocab, model.require("vocab"));
  if (!vocab->is_object() || vocab->empty()) {
    return model.corrupt(fmt::format("\"{}\" must be an object that is not empty, found {}",
                                     model.path_of("vocab"), excerpt(*vocab)));
  }
  std::vector<const std::string*> by_id(vocab->size(), nullptr);
  for (auto entry = vocab->begin(); entry != vocab->end(); ++entry) {
    const std::string& content = entry.key();
    if (content.size() > Vocabulary::kMaxContentBytes) {
      return Error(ErrorCode::kLimit,
                   fmt::format("the vocabulary has a token of {} bytes; at most {} are accepted",
                               content.size(), Vocabulary::kMaxContentBytes),
                   std::string(model.subject()));
    }
    const auto id = as_token_id(entry.value());
    if (!id || static_cast<size_t>(*id) >= by_id.size()) {
      return model.corrupt(
          fmt::format("the token {} has the id {}; the {} tokens of the vocabulary must have the "
                      "ids 0 to {}, each once",
                      token_name(content), excerpt(entry.value()), by_id.size(), by_id.size() - 1));
    }
    const std::string*& place = by_id[static_cast<size_t>(*id)];
    if (place != nullptr) {
      return model.corrupt(fmt::format("the tokens {} and {} both have the id {}",
                                       token_name(*place), token_name(content), *id));
    }
    place = &content;
  }
  // As many different ids below the count as there are tokens: none is missing.
  for (const std::string* const content : by_id) vocabulary.add(*content);
  return {};
}

Result<std::vector<MergeRow>> read_merges(const FieldsView& model, const Vocabulary& vocabulary) {
  ASSIGN_OR_RETURN(const SortedJson* const merges, model.array_or_null("merges"));
  if (merges == nullptr) return model.corrupt("\"model.merges\" is missing");
  std::vector<MergeRow> rows;
  rows.reserve(merges->size());
  std::string joined;
  for (size_t i = 0; i < merges->size(); ++i) {
    const SortedJson& entry = (*merges)[i];
    if (is_version_line(entry)) continue;
    const auto parts = parts_of(entry);
    if (!parts) {
      return model.corrupt(fmt::format(
          "merge {} must be \"left right\" or [\"left\", \"right\"], found {}", i, excerpt(entry)));
    }
    joined.assign(parts->first).append(parts->second);
    MergeRow row{};
    const std::pair<std::string_view, int32_t*> wanted[] = {
        {parts->first, &row.left}, {parts->second, &row.right}, {joined, &row.result}};
    for (const auto& [content, id] : wanted) {
      const auto found = vocabulary.find(content);
      if (!found) {
        return model.corrupt(
            fmt::format("merge {} names {}, which the vocabulary lacks", i, token_name(content)));
      }
      *id = *found;
    }
    rows.push_back(row);
  }
  return rows;
}

}  // namespace nibble

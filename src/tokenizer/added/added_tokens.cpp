#include "tokenizer/added/added_tokens.h"

#include <fmt/format.h>

#include <algorithm>

#include "tokenizer/regex/code_point_set.h"
#include "tokenizer/unicode/general_category.h"
#include "tokenizer/unicode/utf8.h"

namespace nibble {
namespace {

Result<AddedToken> read_added_token(const FieldsView& fields) {
  AddedToken token;
  ASSIGN_OR_RETURN(const SortedJson* const id, fields.require("id"));
  const auto number = as_token_id(*id);
  if (!number) {
    return fields.corrupt(fmt::format("\"{}\" must be a whole number from 0 to {}, found {}",
                                      fields.path_of("id"), kMaxTokenCount - 1, excerpt(*id)));
  }
  token.id = *number;
  ASSIGN_OR_RETURN(const std::string_view content, fields.string("content"));
  token.content = content;
  ASSIGN_OR_RETURN(token.special, fields.bool_or("special", false));
  ASSIGN_OR_RETURN(token.single_word, fields.bool_or("single_word", false));
  ASSIGN_OR_RETURN(token.lstrip, fields.bool_or("lstrip", false));
  ASSIGN_OR_RETURN(token.rstrip, fields.bool_or("rstrip", false));
  ASSIGN_OR_RETURN(token.normalized, fields.bool_or("normalized", !token.special));
  if (token.content.empty()) {
    return fields.corrupt(fmt::format("\"{}\" is empty", fields.path_of("content")));
  }
  if (token.content.size() > AddedTokens::kMaxContentBytes) {
    return Error(ErrorCode::kLimit,
                 fmt::format("the added token with id {} has {} bytes; at most {} are accepted",
                             token.id, token.content.size(), AddedTokens::kMaxContentBytes),
                 std::string(fields.subject()));
  }
  return token;
}

// Enters one token into the vocabulary, or checks that it stands there with the same id.
Status enter(const AddedToken& token, const FieldsView& fields, Vocabulary& vocabulary) {
  const auto known = vocabulary.find(token.content);
  const int32_t expected = known.value_or(vocabulary.size());
  if (token.id != expected) {
    return fields.corrupt(fmt::format(
        "the added token {} has the id {}, but {} {}", excerpt(SortedJson(token.content)), token.id,
        known ? "the vocabulary has it with the id" : "the tokens before it end, without gaps, at",
        known ? expected : expected - 1));
  }
  if (!known) vocabulary.add(token.content);
  return {};
}

// What the reference library counts as a part of a word beside a single_word token.
const CodePointSet& word_parts() {
  static const CodePointSet set = [] {
    CodePointSet parts = word_characters();
    CodePointSet numbers;  // \w of the splitting engine has these, this one has not
    numbers.add(0xB2, 0xB3);
    numbers.add(0xB9, 0xB9);
    numbers.add(0xBC, 0xBE);
    numbers.complement();
    parts.intersect(numbers);
    parts.add(0x200C, 0x200D);
    return parts;
  }();
  return set;
}

const CodePointSet& spaces() {
  static const CodePointSet set = white_space();
  return set;
}

// The last code point of valid text that is not empty, and where it begins.
char32_t last_code_point(std::string_view text, size_t& begin) {
  begin = text.size() - 1;
  while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
  const char* at = text.data() + begin;
  return next_code_point(at);
}

bool touches_word(std::string_view before, std::string_view after) {
  size_t begin = 0;
  if (!before.empty() && word_parts().contains(last_code_point(before, begin))) return true;
  const char* at = after.data();
  return !after.empty() && word_parts().contains(next_code_point(at));
}

// Bytes of white space at the end of `text`.
size_t trailing_space(std::string_view text) {
  const size_t whole = text.size();
  size_t begin = 0;
  while (!text.empty() && spaces().contains(last_code_point(text, begin))) {
    text = text.substr(0, begin);
  }
  return whole - text.size();
}

size_t leading_space(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const char* space_end = at;
  while (at != end && spaces().contains(next_code_point(at))) space_end = at;
  return static_cast<size_t>(space_end - text.data());
}

}  // namespace

Result<AddedTokens> AddedTokens::create(const FieldsView& document, Vocabulary& vocabulary) {
  AddedTokens added;
  ASSIGN_OR_RETURN(const SortedJson* const list, document.array_or_null("added_tokens"));
  if (list == nullptr) return added;
  std::vector<PrefixTree::Entry> raw;
  for (size_t i = 0; i < list->size(); ++i) {
    ASSIGN_OR_RETURN(
        const FieldsView fields,
        FieldsView::open((*list)[i], fmt::format("added_tokens[{}]", i), document.subject()));
    ASSIGN_OR_RETURN(AddedToken token, read_added_token(fields));
    RETURN_IF_ERROR(enter(token, fields, vocabulary));
    if (!token.normalized) raw.push_back({token.content, static_cast<int32_t>(i)});
    added.list_.push_back(std::move(token));
  }
  added.raw_ = PrefixTree(std::move(raw));
  return added;
}

Status AddedTokens::prepare_normalized(
    const std::function<Result<std::string>(std::string_view)>& normalize) {
  std::vector<PrefixTree::Entry> entries;
  for (size_t i = 0; i < list_.size(); ++i) {
    if (!list_[i].normalized) continue;
    ASSIGN_OR_RETURN(std::string content, normalize(list_[i].content));
    if (!content.empty()) entries.push_back({std::move(content), static_cast<int32_t>(i)});
  }
  normalized_ = PrefixTree(std::move(entries));
  return {};
}

void AddedTokens::split(const PrefixTree& tree, std::string_view text, bool skip_special,
                        std::vector<AddedSplit>& out) const {
  out.clear();
  size_t done = 0;  // everything before it has been given out
  size_t from = 0;
  size_t space_end = 0;  // how far the last rstrip reached; the same run of spaces is scanned once
  while (const auto hit = tree.find(text, from)) {
    from = hit->end;
    const AddedToken& token = list_[static_cast<size_t>(hit->value)];
    if (skip_special && token.special) continue;
    const std::string_view before = text.substr(0, hit->begin);
    const std::string_view after = text.substr(hit->end);
    if (token.single_word && touches_word(before, after)) continue;
    size_t begin = hit->begin;
    size_t end = hit->end;
    // A token may begin inside the spaces that the one before it has taken: begin < done.
    if (token.lstrip && done < begin) begin -= trailing_space(text.substr(done, begin - done));
    if (token.rstrip) {
      if (space_end < end) space_end = end + leading_space(after);
      end = space_end;
    }
    if (done < begin) out.push_back({text.substr(done, begin - done), AddedSplit::kNotAdded});
    out.push_back({text.substr(begin, end - begin), token.id});
    done = std::max(done, end);
  }
  if (done < text.size()) out.push_back({text.substr(done), AddedSplit::kNotAdded});
}

}  // namespace nibble

#include "tokenizer/stages/pre_tokenizer.h"

#include <fmt/format.h>

#include "tokenizer/stages/patterns.h"
#include "tokenizer/stages/split_behavior.h"

namespace nibble {
namespace {

// The split of GPT-2, which ByteLevel does itself where "use_regex" is set.
constexpr std::string_view kByteLevelExpression =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct BehaviorName {
  std::string_view name;
  SplitBehavior behavior;
};

constexpr BehaviorName kBehaviors[] = {{"Removed", SplitBehavior::kRemoved},
                                       {"Isolated", SplitBehavior::kIsolated},
                                       {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
                                       {"MergedWithNext", SplitBehavior::kMergedWithNext},
                                       {"Contiguous", SplitBehavior::kContiguous}};

Result<SplitBehavior> read_behavior(const FieldsView& fields) {
  ASSIGN_OR_RETURN(const std::string_view name, fields.string("behavior"));
  for (const BehaviorName& row : kBehaviors) {
    if (row.name == name) return row.behavior;
  }
  return fields.corrupt(
      fmt::format("\"{}\" is \"{:.40}\", which no split knows", fields.path_of("behavior"), name));
}

}  // namespace

Result<PreTokenizer> PreTokenizer::create(const FieldsView& document) {
  PreTokenizer pre_tokenizer;
  if (document.find("pre_tokenizer") != nullptr) {
    ASSIGN_OR_RETURN(const FieldsView fields, document.object("pre_tokenizer"));
    RETURN_IF_ERROR(pre_tokenizer.add_step(fields, 0));
  }
  if (!pre_tokenizer.has_byte_level_) {
    return Error(ErrorCode::kUnsupported,
                 "this tokenizer has no pre-tokenizer \"ByteLevel\", so its vocabulary is not one "
                 "of bytes; nibble runs byte-level tokenizers only",
                 std::string(document.subject()));
  }
  return pre_tokenizer;
}

Status PreTokenizer::add_step(const FieldsView& fields, int depth) {
  ASSIGN_OR_RETURN(const std::string_view type, fields.string("type"));
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const auto members, members_of(fields, "pretokenizers", depth));
    for (const FieldsView& member : members) RETURN_IF_ERROR(add_step(member, depth + 1));
    return {};
  }
  if (has_byte_level_) return fields.unsupported("a pre-tokenizer after \"ByteLevel\"");
  if (type == "ByteLevel") return add_byte_level(fields);
  if (type == "Split") {
    ASSIGN_OR_RETURN(Regex pattern, compile_pattern(fields));
    ASSIGN_OR_RETURN(const SplitBehavior behavior, read_behavior(fields));
    ASSIGN_OR_RETURN(const bool invert, fields.bool_or("invert", false));
    steps_.push_back(Step{std::move(pattern), behavior, invert});
    return {};
  }
  if (type == "Digits") {
    ASSIGN_OR_RETURN(const bool individual, fields.bool_or("individual_digits", false));
    ASSIGN_OR_RETURN(Regex pattern, Regex::compile(R"(\p{N})", fields.subject()));
    steps_.push_back(Step{std::move(pattern),
                          individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous,
                          false});
    return {};
  }
  return fields.unsupported(fmt::format("the pre-tokenizer \"{}\"", type));
}

Status PreTokenizer::add_byte_level(const FieldsView& fields) {
  has_byte_level_ = true;
  ASSIGN_OR_RETURN(add_prefix_space_, fields.bool_or("add_prefix_space", true));
  ASSIGN_OR_RETURN(const bool use_regex, fields.bool_or("use_regex", true));
  if (!use_regex) return {};
  ASSIGN_OR_RETURN(Regex pattern, Regex::compile(kByteLevelExpression, fields.subject()));
  byte_level_split_ = Step{std::move(pattern), SplitBehavior::kIsolated, false};
  return {};
}

Result<std::string_view> PreTokenizer::split(std::string_view text, Scratch& scratch) const {
  scratch.pieces.clear();
  if (!text.empty()) scratch.pieces.push_back({0, text.size()});
  for (const Step& step : steps_) RETURN_IF_ERROR(run(step, text, scratch));
  if (add_prefix_space_) text = add_prefix_spaces(text, scratch);
  if (byte_level_split_) RETURN_IF_ERROR(run(*byte_level_split_, text, scratch));
  return text;
}

Status PreTokenizer::run(const Step& step, std::string_view text, Scratch& scratch) {
  scratch.next_pieces.clear();
  for (const TextSpan& piece : scratch.pieces) {
    const std::string_view inside = text.substr(piece.begin, piece.end - piece.begin);
    RETURN_IF_ERROR(step.pattern.find_all(inside, scratch.symbols, scratch.matches));
    append_pieces(piece, scratch.matches, step.behavior, step.invert, scratch.next_pieces);
  }
  scratch.pieces.swap(scratch.next_pieces);
  return {};
}

std::string_view PreTokenizer::add_prefix_spaces(std::string_view text, Scratch& scratch) {
  scratch.prefixed.clear();
  for (TextSpan& piece : scratch.pieces) {
    const size_t begin = scratch.prefixed.size();
    if (text[piece.begin] != ' ') scratch.prefixed.push_back(' ');
    scratch.prefixed.append(text.substr(piece.begin, piece.end - piece.begin));
    piece = {begin, scratch.prefixed.size()};
  }
  return scratch.prefixed;
}

}  // namespace nibble

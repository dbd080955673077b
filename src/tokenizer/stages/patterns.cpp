#include "tokenizer/stages/patterns.h"

#include <fmt/format.h>

namespace nibble {

Result<Regex> compile_pattern(const FieldsView& stage) {
  ASSIGN_OR_RETURN(const FieldsView pattern, stage.object("pattern"));
  if (pattern.find("Regex") != nullptr) {
    ASSIGN_OR_RETURN(const std::string_view expression, pattern.string("Regex"));
    return Regex::compile(expression, stage.subject());
  }
  ASSIGN_OR_RETURN(const std::string_view literal, pattern.string("String"));
  return Regex::compile_literal(literal, stage.subject());
}

Result<std::vector<FieldsView>> members_of(const FieldsView& sequence, std::string_view key,
                                           int depth) {
  constexpr int kMaxDepth = 8;
  if (depth > kMaxDepth) {
    return Error(ErrorCode::kLimit,
                 fmt::format("sequences in \"{}\" are nested deeper than {} levels",
                             sequence.path(), kMaxDepth),
                 std::string(sequence.subject()));
  }
  ASSIGN_OR_RETURN(const SortedJson* const list, sequence.array_or_null(key));
  if (list == nullptr) {
    return sequence.corrupt(fmt::format("\"{}\" is missing", sequence.path_of(key)));
  }
  std::vector<FieldsView> members;
  for (size_t i = 0; i < list->size(); ++i) {
    ASSIGN_OR_RETURN(const FieldsView member,
                     FieldsView::open((*list)[i], fmt::format("{}[{}]", sequence.path_of(key), i),
                                      sequence.subject()));
    members.push_back(member);
  }
  return members;
}

}  // namespace nibble

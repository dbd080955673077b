#include "tokenizer/stages/post_processor.h"

#include <fmt/format.h>

#include "tokenizer/stages/patterns.h"

namespace nibble {
namespace {

// Appends the ids of a template's special token, which "special_tokens" lists under its name.
Status append_template_token(const FieldsView& stage, const FieldsView& item,
                             const Vocabulary& vocabulary, std::vector<int32_t>& out) {
  ASSIGN_OR_RETURN(const FieldsView reference, item.object("SpecialToken"));
  ASSIGN_OR_RETURN(const std::string_view name, reference.string("id"));
  ASSIGN_OR_RETURN(const FieldsView tokens, stage.object("special_tokens"));
  ASSIGN_OR_RETURN(const FieldsView token, tokens.object(name));
  ASSIGN_OR_RETURN(const SortedJson* const ids, token.array_or_null("ids"));
  if (ids == nullptr) return token.corrupt(fmt::format("\"{}\" is missing", token.path_of("ids")));
  for (const SortedJson& id : *ids) {
    const auto number = as_token_id(id);
    if (!number || *number >= vocabulary.size()) {
      return token.corrupt(fmt::format("\"{}\" has {}, which is not the id of a token",
                                       token.path_of("ids"), excerpt(id)));
    }
    out.push_back(*number);
  }
  return {};
}

Status read_template(const FieldsView& stage, const Vocabulary& vocabulary, PostProcessor& out) {
  ASSIGN_OR_RETURN(const auto items, members_of(stage, "single", 0));
  int n_texts = 0;
  std::vector<int32_t> before;
  std::vector<int32_t> after;
  for (const FieldsView& item : items) {
    if (item.find("Sequence") != nullptr) {
      ++n_texts;
    } else {
      RETURN_IF_ERROR(
          append_template_token(stage, item, vocabulary, n_texts == 0 ? before : after));
    }
  }
  if (n_texts != 1) return stage.unsupported("a template that does not hold the text just once");
  out.before.insert(out.before.begin(), before.begin(), before.end());
  out.after.insert(out.after.end(), after.begin(), after.end());
  return {};
}

Status read_stage(const FieldsView& stage, const Vocabulary& vocabulary, int depth,
                  PostProcessor& out) {
  ASSIGN_OR_RETURN(const std::string_view type, stage.string("type"));
  if (type == "ByteLevel") return {};
  if (type == "TemplateProcessing") return read_template(stage, vocabulary, out);
  if (type != "Sequence") {
    return stage.unsupported(fmt::format("the post-processor \"{}\"", type));
  }
  ASSIGN_OR_RETURN(const auto members, members_of(stage, "processors", depth));
  for (const FieldsView& member : members) {
    RETURN_IF_ERROR(read_stage(member, vocabulary, depth + 1, out));
  }
  return {};
}

}  // namespace

Result<PostProcessor> read_post_processor(const FieldsView& document,
                                          const Vocabulary& vocabulary) {
  PostProcessor out;
  if (document.find("post_processor") == nullptr) return out;
  ASSIGN_OR_RETURN(const FieldsView stage, document.object("post_processor"));
  RETURN_IF_ERROR(read_stage(stage, vocabulary, 0, out));
  return out;
}

Status check_decoder(const FieldsView& document) {
  ASSIGN_OR_RETURN(const FieldsView decoder, document.object("decoder"));
  ASSIGN_OR_RETURN(std::string_view type, decoder.string("type"));
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const auto members, members_of(decoder, "decoders", 0));
    if (members.size() != 1) return decoder.unsupported("a sequence of several decoders");
    ASSIGN_OR_RETURN(type, members[0].string("type"));
  }
  if (type != "ByteLevel") return decoder.unsupported(fmt::format("the decoder \"{}\"", type));
  return {};
}

}  // namespace nibble

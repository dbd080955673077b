#include "tokenizer/stages/normalizer.h"

#include <fmt/format.h>

#include "tokenizer/stages/patterns.h"

namespace nibble {
namespace {

struct FormName {
  std::string_view name;
  NormalForm form;
};

constexpr FormName kForms[] = {{"NFC", NormalForm::kNfc},
                               {"NFD", NormalForm::kNfd},
                               {"NFKC", NormalForm::kNfkc},
                               {"NFKD", NormalForm::kNfkd}};

}  // namespace

Result<Normalizer> Normalizer::create(const FieldsView& document) {
  Normalizer normalizer;
  if (document.find("normalizer") == nullptr) return normalizer;
  ASSIGN_OR_RETURN(const FieldsView fields, document.object("normalizer"));
  RETURN_IF_ERROR(normalizer.add_step(fields, 0));
  return normalizer;
}

Status Normalizer::add_step(const FieldsView& fields, int depth) {
  ASSIGN_OR_RETURN(const std::string_view type, fields.string("type"));
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const auto members, members_of(fields, "normalizers", depth));
    for (const FieldsView& member : members) RETURN_IF_ERROR(add_step(member, depth + 1));
    return {};
  }
  for (const FormName& row : kForms) {
    if (row.name != type) continue;
    steps_.push_back(Step{Step::Kind::kNormalForm, row.form, std::nullopt, ""});
    return {};
  }
  if (type == "Replace") {
    ASSIGN_OR_RETURN(Regex pattern, compile_pattern(fields));
    ASSIGN_OR_RETURN(std::string_view content, fields.string("content"));
    steps_.push_back(
        Step{Step::Kind::kReplace, NormalForm::kNfc, std::move(pattern), std::string(content)});
    return {};
  }
  if (type == "Prepend") {
    ASSIGN_OR_RETURN(std::string_view content, fields.string("prepend"));
    steps_.push_back(
        Step{Step::Kind::kPrepend, NormalForm::kNfc, std::nullopt, std::string(content)});
    return {};
  }
  return fields.unsupported(fmt::format("the normalizer \"{}\"", type));
}

Result<std::string_view> Normalizer::apply(std::string_view text, Scratch& scratch) const {
  size_t free_buffer = 0;
  for (const Step& step : steps_) {
    std::string& buffer = scratch.buffers[free_buffer];
    ASSIGN_OR_RETURN(const std::string_view changed, run(step, text, buffer, scratch));
    if (changed.data() == buffer.data()) free_buffer = 1 - free_buffer;
    text = changed;
  }
  return text;
}

Result<std::string_view> Normalizer::run(const Step& step, std::string_view text,
                                         std::string& buffer, Scratch& scratch) {
  switch (step.kind) {
    case Step::Kind::kNormalForm:
      return normalize(step.form, text, buffer);
    case Step::Kind::kPrepend:
      if (text.empty()) return text;
      buffer.assign(step.content).append(text);
      return std::string_view(buffer);
    case Step::Kind::kReplace:
      break;
  }
  RETURN_IF_ERROR(step.pattern->find_all(text, scratch.symbols, scratch.matches));
  buffer.clear();
  size_t copied = 0;
  for (const TextSpan& match : scratch.matches) {
    buffer.append(text.substr(copied, match.begin - copied)).append(step.content);
    copied = match.end;
  }
  buffer.append(text.substr(copied));
  return std::string_view(buffer);
}

}  // namespace nibble

#include "doctor/diagnose.h"

#include <fmt/format.h>

#include "checkpoint/checkpoint.h"
#include "doctor/survey/announced_tensors.h"
#include "doctor/survey/examination.h"
#include "model/config.h"

namespace nibble {
namespace {

// A GGUF file describes itself: what can differ is the model, its MTP layer and completeness.
Result<Diagnosis> diagnose_gguf(const std::string& path) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Checkpoint> checkpoint, Checkpoint::open(path));
  FolderSurvey survey;
  survey.folder = path;
  survey.config = checkpoint->config();
  for (const TensorInfo& tensor : checkpoint->tensors()) {
    survey.canonical_names.insert(tensor.name);
    survey.tensors[tensor.stored_name] = {{}, tensor.dtype, tensor.shape, std::nullopt};
  }
  const Result<ModelConfig> model = parse_model_config(survey.config, path);
  if (model) survey.model = *model;
  Diagnosis diagnosis;
  diagnosis.path = path;
  const AnnouncedPart text = text_part(survey);
  const AnnouncedPart mtp = mtp_part(survey);
  const FittingClass fitting = fitting_class(survey);
  Json& facts = diagnosis.facts;
  facts["container"] = "gguf";
  facts["dialect"] = "gguf";
  facts["family"] = fitting.known ? "qwen3_5" : "other";
  facts["text_complete"] = text.missing.empty();
  facts["mtp"] = part_state_name(mtp.state);
  facts["class_fits"] = true;
  for (const auto* part : {&text, &mtp}) {
    if (part->missing.empty()) continue;
    diagnosis.findings.push_back(
        {Severity::kProblem, part == &mtp ? "mtp_missing" : "tensor_missing", part->missing.front(),
         fmt::format("the metadata announces it, but {} tensors are absent", part->missing.size()),
         "write the file again with all tensors"});
  }
  return diagnosis;
}

}  // namespace

std::string_view severity_name(Severity severity) {
  switch (severity) {
    case Severity::kProblem:
      return "problem";
    case Severity::kWarning:
      return "warning";
    case Severity::kNote:
      return "note";
  }
  return "";
}

Result<Diagnosis> diagnose_checkpoint(const std::string& path) {
  if (path.ends_with(".gguf")) return diagnose_gguf(path);
  ASSIGN_OR_RETURN(const FolderSurvey survey, survey_folder(path));
  Diagnosis diagnosis;
  diagnosis.path = path;
  diagnosis.facts["container"] = "safetensors";
  diagnosis.findings = survey.findings;
  examine_model(survey, diagnosis);
  examine_matrices(survey, diagnosis);
  examine_description(survey, diagnosis);
  examine_files(survey, diagnosis);
  diagnosis.facts["text_complete"] = diagnosis.facts["text_complete"] == true &&
                                     diagnosis.facts["parts_complete"] == true &&
                                     survey.findings.empty();
  return diagnosis;
}

Json findings_json(const std::vector<Finding>& findings) {
  Json json = Json::array();
  for (const Finding& finding : findings) {
    json.push_back({{"severity", severity_name(finding.severity)},
                    {"code", finding.code},
                    {"subject", finding.subject},
                    {"message", finding.message},
                    {"fix", finding.fix}});
  }
  return json;
}

}  // namespace nibble

// The files of a folder: who may read them, the index, and what stands beside the weights.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "doctor/survey/examination.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexName = "model.safetensors.index.json";

void warn(Diagnosis& diagnosis, Severity severity, const char* code, std::string subject,
          std::string message, const char* fix) {
  diagnosis.findings.push_back({severity, code, std::move(subject), std::move(message), fix});
}

}  // namespace

std::vector<std::string> private_files(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    struct stat status {};
    if (::lstat(at->path().c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    if ((status.st_mode & (S_IRGRP | S_IROTH)) != (S_IRGRP | S_IROTH)) {
      names.push_back(at->path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool index_is_wrong(const FolderSurvey& survey) {
  if (!survey.has_file(kIndexName)) return survey.shards.size() > 1;
  const Result<Json> index = read_json_file(survey.folder + "/" + kIndexName);
  if (!index || !index->is_object() || !index->contains("weight_map")) return true;
  const Json& map = (*index)["weight_map"];
  if (!map.is_object()) return true;
  size_t n_right = 0;
  for (const auto& [name, shard] : map.items()) {
    const auto at = survey.tensors.find(name);
    if (at == survey.tensors.end() || shard != at->second.shard) return true;
    ++n_right;
  }
  return n_right != survey.tensors.size();
}

void examine_files(const FolderSurvey& survey, Diagnosis& diagnosis) {
  for (const std::string& name : private_files(survey.folder)) {
    warn(diagnosis, Severity::kWarning, "file_private", name,
         "only its owner can read it; a server under another user cannot", "nibble repair DIR");
  }
  if (index_is_wrong(survey)) {
    warn(diagnosis, Severity::kWarning, "index_wrong", kIndexName,
         survey.has_file(kIndexName) ? "does not list exactly the stored tensors"
                                     : "is absent although there are several weight files",
         "nibble repair DIR");
  }
  if (!survey.all_say_pt) {
    warn(diagnosis, Severity::kWarning, "metadata_missing", "the weight files",
         "their headers lack the metadata format: pt, without which older transformers refuse them",
         "nibble convert writes it");
  }
  const bool has_processor = survey.has_file("preprocessor_config.json");
  diagnosis.facts["processor_files"] = has_processor || survey.has_file("processor_config.json");
  const bool announced = diagnosis.facts.value("vision_announced", false);
  struct Wanted {
    const char* name;
    const char* why;
    bool wanted;
  };
  const Wanted wanted[] = {
      {"tokenizer.json", "text cannot be encoded without it", true},
      {"tokenizer_config.json", "servers read special tokens from it", true},
      {"generation_config.json", "end tokens and sampling defaults are read from it", true},
      {"preprocessor_config.json", "servers of the class with vision refuse to start without it",
       announced},
      {"video_preprocessor_config.json", "videos cannot be prepared without it", announced},
  };
  for (const Wanted& file : wanted) {
    if (!file.wanted || survey.has_file(file.name)) continue;
    warn(diagnosis, Severity::kWarning, "side_file_missing", file.name, file.why,
         "nibble repair DIR --base BASE copies it from the base model");
  }
  const bool has_template =
      survey.has_file("chat_template.jinja") || survey.has_file("chat_template.json");
  if (!has_template && survey.has_file("tokenizer_config.json")) {
    const Result<Json> config = read_json_file(survey.folder + "/tokenizer_config.json");
    if (!config || !config->is_object() || !config->contains("chat_template")) {
      warn(diagnosis, Severity::kWarning, "side_file_missing", "chat_template.jinja",
           "chats cannot be rendered without a template",
           "nibble repair DIR --base BASE copies it from the base model");
    }
  }
}

}  // namespace nibble

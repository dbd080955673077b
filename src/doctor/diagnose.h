// What is wrong with a checkpoint's structure and description, seen from headers and small scalars
// only, and the facts about it that decide which programs load it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/result.h"

namespace nibble {

enum class Severity : uint8_t {
  kProblem,  ///< some program fails, or answers wrongly
  kWarning,  ///< works, but something is lost or some set-ups fail
  kNote,     ///< worth knowing
};

/// "problem", "warning", "note".
std::string_view severity_name(Severity severity);

/// One observation.
struct Finding {
  Severity severity = Severity::kProblem;
  std::string code;     ///< stable, for scripts
  std::string subject;  ///< the tensor, module, file or field
  std::string message;  ///< what was found and what was expected
  std::string fix;      ///< what to do
};

struct Diagnosis {
  std::string path;
  Json facts = Json::object();  ///< by name: booleans and strings, as data/loaders.json uses them
  std::vector<Finding> findings;
};

/// Examines a checkpoint folder, or a GGUF file, also one that Checkpoint::open refuses. Cost:
/// reads headers, configs and scalar scales, no weights.
/// Errors: kNotFound (nothing at `path`); for a GGUF file those of Checkpoint::open. Everything
/// else that is wrong is a finding.
Result<Diagnosis> diagnose_checkpoint(const std::string& path);

/// [{severity, code, subject, message, fix}, ...]
Json findings_json(const std::vector<Finding>& findings);

}  // namespace nibble

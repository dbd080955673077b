// Mends what a checkpoint folder says of itself. Weights are never touched.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/result.h"

namespace nibble {

struct RepairOptions {
  std::optional<std::string> base;  ///< folder of the base model, for missing tokenizer files
  bool dry_run = false;
  bool keep_backup = true;  ///< the first version of a changed file stays as NAME.before-repair
};

/// One thing that was, or would be, changed.
struct RepairStep {
  std::string code;     ///< stable, for scripts: "class", "mtp_count", "ignore_list", ...
  std::string file;     ///< changed, written or removed
  std::string message;  ///< what was there and what is now
};

struct RepairReport {
  std::string folder;
  bool dry_run = false;
  std::vector<RepairStep> steps;  ///< empty where there is nothing to mend
};

/// Mends: class and model_type that contradict the tensors; the MTP count where no MTP tensor is
/// stored; AutoRound's own description (rewritten as compressed-tensors); lists of unquantized
/// modules that do not survive the names of engines; unknown keys and a wrong status in the
/// description; a hf_quant_config.json beside another description (removed), or missing or
/// incomplete beside ModelOpt's (written); a missing or wrong index; files that only their owner
/// can read; tokenizer, template and processor files that `base` has. A second run changes nothing.
/// Every file is written under a temporary name and renamed.
/// Errors: kNotFound (no such folder), kMismatch (`base` is another model), kIo, kPermission,
/// kNoSpace, kCorrupt (config.json cannot be read).
Result<RepairReport> repair_checkpoint(const std::string& folder, const RepairOptions& options);

/// The report as one JSON object (keys: folder, dry_run, steps), and for people.
Json repair_json(const RepairReport& report);
std::string repair_text(const RepairReport& report);

}  // namespace nibble

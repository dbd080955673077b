// What `nibble eval` measured, of one model or of a model beside its base, as JSON and as a table.
#pragma once

#include <optional>
#include <string>

#include "bench/perplexity.h"
#include "bench/speed.h"
#include "bench/tasks.h"
#include "core/json.h"

namespace nibble {

/// One model's share of the report.
struct EvaluatedModel {
  std::string folder;
  std::string label;  ///< "BF16", "NVFP4": how its matrices are stored
  uint64_t n_bytes = 0;
  double effective_bits = 0.0;  ///< stored bits per weight, over all tensors
  std::optional<TaskReport> tasks;
  std::optional<SpeedReport> speed;
};

/// Everything.
struct EvalReport {
  EvaluatedModel model;
  std::optional<EvaluatedModel> base;
  std::optional<PerplexityReport> perplexity;  ///< covers both models
  std::string text_file;
  uint64_t n_text_bytes = 0;
  uint64_t text_hash = 0;  ///< FNV-1a of the bytes that were scored
  std::string backend;
};

/// Names, size and storage of an opened model.
EvaluatedModel describe_model(const Checkpoint& checkpoint);

/// One object. Fields of the base model carry the prefix "base_".
Json eval_json(const EvalReport& report);

/// One table with a column per model, base first.
std::string eval_text(const EvalReport& report);

}  // namespace nibble

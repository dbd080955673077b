// Quantizing a checkpoint: recipe x tensor table -> plan -> streamed output and error report.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "model/tensor_table.h"
#include "quantize/calibration.h"
#include "quantize/recipe.h"

namespace nibble {

class LoraAdapter;

/// What the user asked for.
struct QuantizeJob {
  std::string source;
  std::string lora;  ///< folder of a PEFT adapter that is merged into the weights; empty: none
  std::string destination;
  std::string method = "sweep";     ///< a name of quantize_methods()
  std::string recipe = "all";       ///< a name of recipes(), or the path of a file
  std::string head;                 ///< "bf16", "fp8", "nvfp4"; empty: as the recipe says
  std::string kv_cache;             ///< "fp8", "keep"; empty: as the recipe says
  std::vector<std::string> ignore;  ///< patterns, see ignore_pattern.h
  std::string dialect = "compressed-tensors";  ///< a name of writable_dialects()
  CalibrationOptions calibration;              ///< for targets with a static activation scale
  std::string program_version;                 ///< stated in the manifest
  size_t n_threads = 0;
  bool force = false;
};

/// One tensor of the plan.
struct PlanRow {
  const TensorInfo* tensor = nullptr;  ///< borrowed from the source
  std::optional<TensorRole> role;      ///< nothing for tensors the model does not know
  MatrixTarget target;
  std::string reason;  ///< why it is kept, for the table; empty when it is quantized
  uint64_t n_output_bytes = 0;
  std::string fused_group;  ///< members share one tensor scale; empty for none

  bool quantizes() const { return !target.keeps(); }
};

/// What will happen to every tensor.
struct Plan {
  std::shared_ptr<const Checkpoint> source;
  ModelConfig config;
  std::vector<PlanRow> rows;
  std::shared_ptr<const LoraAdapter> lora;  ///< null: none
  bool fp8_cache = false;                   ///< scales for a key/value cache in FP8 are stored

  /// Whether some stored scale depends on activations.
  bool needs_calibration() const;
};

/// How far one matrix moved.
struct TensorError {
  std::string name;
  TensorRole role{};
  Shape shape;
  double relative_mse = 0.0;  ///< sum (w - q)^2 / sum w^2; 0 for a matrix of zeros
  double sqnr_db = 0.0;       ///< -10 log10(relative_mse); +infinity where there is no error
  double max_abs_error = 0.0;
  MatrixTarget target;              ///< what it is stored as
  float tensor_scale = 1.0f;        ///< of FP8 with one scale a row, the largest
  double sum_squares = 0.0;         ///< of the original weights
  double sum_squared_errors = 0.0;  ///< what relative_mse divides by sum_squares
};

struct QuantizeReport {
  std::vector<TensorError> tensors;
  uint64_t n_source_bytes = 0;
  uint64_t n_output_bytes = 0;
  double elapsed_s = 0.0;
  size_t n_calibration_tokens = 0;  ///< 0 where nothing was calibrated
};

/// The registries' names and one-line descriptions, for --help and messages.
struct NamedChoice {
  std::string_view name;
  std::string_view description;
};
std::vector<NamedChoice> quantize_methods();
std::vector<NamedChoice> recipes();

/// Opens the source and decides what happens to every tensor; reads no weights.
/// Errors: those of Checkpoint::open, parse_model_config, check_tensors; kInvalidArgument (unknown
/// method, recipe or dialect, a bad or unmatched pattern, rules that treat fused matrices
/// differently, a target that the dialect cannot hold, a head that does not exist, a source that is
/// already quantized).
Result<Plan> make_plan(const QuantizeJob& job);

/// The plan as a table for people, and as one JSON object (keys: tensors, totals, n_quantized,
/// n_weights, n_source_bytes, n_output_bytes, bits_per_quantized_weight).
std::string plan_text(const Plan& plan);
Json plan_json(const Plan& plan);

/// Carries the plan out: calibrates where that is needed, then one pass, in which one thread reads
/// ahead, the pool quantizes and one thread writes. Memory: a few matrices, and 256 MB each of what
/// was read and of what waits to be written; the activations of a model while it calibrates. The
/// bytes are the same for every number of threads, and for a run that goes on where another was
/// cut. Any NaN or infinity in a floating tensor stops it, kept tensors included. Errors: those of
/// CheckpointWriter and find_activation_ranges; kNotFinite (tensor and index); kIo (the source
/// changed while it was read); kCancelled, kNoSpace (DST.partial stays and is named in the
/// message).
Result<QuantizeReport> run_quantize(const QuantizeJob& job, const Plan& plan,
                                    const ProgressSink& progress = {});

/// The report as one JSON object, and as a table for people.
Json report_json(const QuantizeReport& report);
std::string report_text(const QuantizeReport& report);

}  // namespace nibble

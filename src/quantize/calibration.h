// Calibration: running the unquantized model over text to see how large its activations become.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <unordered_map>

#include "checkpoint/checkpoint.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"

namespace nibble {

struct Plan;

/// What the model reads, and how much of it.
struct CalibrationOptions {
  /// A text file, a file of JSON lines ({"text": ...} or {"messages": [...]}), or a folder of such
  /// files; empty for the text that is part of the program.
  std::string path;
  size_t n_samples = 32;           ///< pieces of text, spread evenly over all there is
  size_t n_tokens = 512;           ///< of each piece, at most
  std::string cpu_implementation;  ///< empty: the best
  /// Turns a list of messages into text; without it, files with messages are refused.
  std::function<Result<std::string>(const Json& messages)> render_chat;
};

/// The largest magnitudes seen.
struct ActivationRanges {
  std::unordered_map<const TensorInfo*, float> inputs;  ///< of what a matrix is multiplied with
  std::unordered_map<const TensorInfo*, float>
      cached;           ///< of what the cache holds of k_proj, v_proj
  size_t n_tokens = 0;  ///< that were run
};

/// Runs the plan's source over the text and finds the ranges of every input that a target with a
/// static scale needs, and of the cache where the plan wants it in FP8. Matrices that read the same
/// input get the same value. The result is the same for every number of threads.
/// Cost: a forward pass over n_samples * n_tokens tokens on the CPU.
/// Errors: kInvalidArgument (no text, bad options), kCorrupt (a bad line, named), kNotFound (no
/// tokenizer.json), kNotFinite (the model computes NaN or infinity), kCancelled, those of
/// load_model.
Result<ActivationRanges> find_activation_ranges(const Plan& plan, const CalibrationOptions& options,
                                                size_t n_threads, const ProgressSink& progress);

}  // namespace nibble

// The Model interface: a batch of tokens and their sequences' states in, logits out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "checkpoint/checkpoint.h"
#include "core/progress.h"
#include "core/result.h"
#include "model/config.h"

namespace nibble {

/// What a model remembers of one sequence: KV caches of its attention layers, recurrent and
/// convolution states of its DeltaNet layers. Made by a Model, used with that Model only.
class SequenceState {
 public:
  virtual ~SequenceState() = default;
  /// Tokens that have passed through.
  virtual size_t n_tokens() const = 0;
  /// Tokens that fit.
  virtual size_t capacity() const = 0;
  virtual size_t n_bytes() const = 0;
  /// Back to the empty sequence.
  virtual void reset() = 0;
  /// Copies one named part to the host: ("recurrent" [value heads, key dim, value dim], "conv"
  /// [kernel - 1, channels], "key" and "value" [kv heads, n_tokens, head_dim]). For tests and
  /// tools. Errors: kInvalidArgument for a part that the layer does not have.
  virtual Result<std::vector<float>> read(size_t layer, std::string_view part) const = 0;
};

/// Consecutive rows of a batch that belong to one sequence.
struct Segment {
  SequenceState* state;
  size_t first_row;
  size_t n_rows;
};

/// What one forward pass computes. Segments cover all rows in order; a state appears once.
struct Batch {
  std::span<const int32_t> tokens;
  std::span<const Segment> segments;
  std::span<const int32_t> logit_rows;  ///< rows whose logits are wanted, ascending
};

/// Sees inner values as they are computed, for calibration and for tests. Host memory, valid during
/// the call.
class Tap {
 public:
  virtual ~Tap() = default;
  /// Whether the value of that name is wanted; asked before it is copied from the device.
  virtual bool wants(std::string_view point, int64_t layer) = 0;
  ///   values [n_rows, n_cols]
  virtual void see(std::string_view point, int64_t layer, std::span<const float> values,
                   size_t n_rows, size_t n_cols) = 0;
};

/// A loaded model. One forward at a time.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelConfig& config() const = 0;
  /// A state for up to `capacity` tokens. Errors: kOutOfMemory.
  virtual Result<std::unique_ptr<SequenceState>> new_state(size_t capacity) = 0;
  /// The most rows one batch may have (scratch is sized at load).
  virtual size_t max_batch_rows() const = 0;
  /// Computes and advances the states.
  ///   logits  [batch.logit_rows.size(), vocab_size], host memory
  /// Errors: kInvalidArgument (token out of range, state full, batch too large), kIo (the mapped
  /// checkpoint could not be read).
  virtual Status forward(const Batch& batch, std::span<float> logits, Tap* tap = nullptr) = 0;
  /// Weight bytes that one decoded token reads.
  virtual uint64_t bytes_per_token() const = 0;
};

struct ModelOptions {
  size_t max_batch_rows = 512;
  size_t n_load_threads = 0;  ///< 0: one per processor
  /// Reads every weight once to refuse NaN and infinity. Small tensors are always checked.
  bool check_finite = true;
};

/// Recognises the architecture, checks every tensor, asks the backend, then loads.
/// The model keeps the checkpoint; `backend` must outlive the model.
/// Errors: those of parse_model_config and check_tensors, kUnsupported, kNotFinite, kOutOfMemory.
Result<std::unique_ptr<Model>> load_model(std::shared_ptr<const Checkpoint> checkpoint,
                                          Backend& backend, const ModelOptions& options = {},
                                          const ProgressSink& progress = {});

}  // namespace nibble

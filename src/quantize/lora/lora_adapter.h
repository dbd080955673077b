// A LoRA adapter as PEFT saves it, merged into the weights of its base model.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/tensor_file.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "tensor/tensor.h"

namespace nibble {

/// Reads adapter_config.json and adapter_model.safetensors of a folder and knows which tensors of a
/// source they change: W + scale * B A for pairs (scale = alpha / r, or alpha / sqrt(r) with
/// rank-stabilised adapters), the adapter's own weight for modules that were trained whole.
/// Immutable; safe from several threads.
class LoraAdapter {
 public:
  /// Opens the adapter and finds its place in the source. Errors: kNotFound, kCorrupt, kUnsupported
  /// (another kind than LoRA, DoRA, biases, swapped axes: whatever a sum cannot express), kMismatch
  /// (tensors that belong to nothing, all in one message; shapes or ranks that do not fit).
  static Result<std::shared_ptr<const LoraAdapter>> open(const std::string& folder,
                                                         const Checkpoint& source);

  bool changes(const TensorInfo& tensor) const { return changes_.count(&tensor) != 0; }
  size_t n_changed() const { return changes_.size(); }

  /// The tensor with the change applied, in its own dtype: the sum over the rank and W are added in
  /// F32 and rounded once. The same for every number of threads.
  /// Cost: 2 r operations a weight. Errors: kOutOfMemory, kIo.
  Result<Tensor> merged(const Checkpoint& source, const TensorInfo& tensor, ThreadPool& pool) const;

  /// The content hash of both files.
  const std::string& hash() const { return hash_; }

 private:
  struct Change {
    TensorView a;      // [r, in]; of an embedding [r, vocabulary]
    TensorView b;      // [out, r]; of an embedding [width, r]
    TensorView whole;  // in place of the tensor, where a has no bytes
    float scale = 1.0f;
    bool embedding = false;
  };
  struct Parts {
    std::optional<TensorView> a;
    std::optional<TensorView> b;
    std::optional<TensorView> whole;
    bool embedding = false;
  };
  struct Factors {
    size_t rank = 0;           // 0: the tensor is replaced
    std::vector<float> left;   // [rows, rank]
    std::vector<float> right;  // [rank, cols]
  };
  struct Settings;
  explicit LoraAdapter(TensorFile file) : file_(std::move(file)) {}
  Status bind(const Settings& settings, const Checkpoint& source);
  Status bind_module(const Settings& settings, const std::string& module, const Parts& parts,
                     const TensorInfo& tensor);
  std::map<std::string, Parts> modules() const;
  static Result<Factors> factors_of(const Change& change);
  static void merge_row(const Factors& factors, float scale, size_t r, std::span<float> values,
                        std::span<float> sums);
  static Status check_shapes(const Change& change, const TensorInfo& tensor, uint64_t rank);

  TensorFile file_;
  std::string hash_;
  std::unordered_map<const TensorInfo*, Change> changes_;
};

}  // namespace nibble

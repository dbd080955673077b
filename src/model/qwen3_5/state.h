// What the model remembers of one sequence.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "core/result.h"
#include "model/config.h"
#include "model/model.h"

namespace nibble::qwen3_5 {

/// Per layer either a recurrent and a convolution state of fixed size, or a key/value cache that
/// holds `capacity` tokens.
class State final : public SequenceState {
 public:
  struct Layer {
    Buffer recurrent;  ///< [value heads, key dim, value dim]
    Buffer conv;       ///< [kernel - 1, channels], oldest first
    Buffer keys;       ///< [kv heads, capacity, head_dim], after norm and rotary embedding
    Buffer values;     ///< [kv heads, capacity, head_dim]
  };

  ///   owner  the model that the state belongs to; only compared
  static Result<std::unique_ptr<SequenceState>> create(const ModelConfig& config, Backend& backend,
                                                       const void* owner, size_t capacity);

  size_t n_tokens() const override { return n_tokens_; }
  size_t capacity() const override { return capacity_; }
  size_t n_bytes() const override;
  void reset() override;
  Result<std::vector<float>> read(size_t layer, std::string_view part) const override;

  const void* owner() const { return owner_; }
  const Layer& layer(size_t i) const { return layers_[i]; }
  void advance(size_t n_new_tokens) { n_tokens_ += n_new_tokens; }

 private:
  State(const ModelConfig& config, Backend& backend, const void* owner, size_t capacity)
      : config_(config), backend_(backend), owner_(owner), capacity_(capacity) {}
  std::vector<float> download(const Buffer& buffer) const;
  std::vector<float> download_cache(const Buffer& cache) const;

  const ModelConfig& config_;
  Backend& backend_;
  const void* owner_;
  size_t capacity_;
  size_t n_tokens_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace nibble::qwen3_5

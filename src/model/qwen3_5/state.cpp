#include "model/qwen3_5/state.h"

#include <fmt/format.h>

#include "core/bytes.h"

namespace nibble::qwen3_5 {
namespace {

// Zeroed floats for the product of three sizes.
Result<Buffer> allocate_floats(Backend& backend, uint64_t a, uint64_t b, uint64_t c) {
  const auto ab = checked_mul(a, b);
  const auto abc = ab ? checked_mul(*ab, c) : std::nullopt;
  const auto n_bytes = abc ? checked_mul(*abc, sizeof(float)) : std::nullopt;
  if (!n_bytes) {
    return Error(ErrorCode::kOutOfMemory,
                 fmt::format("a sequence state of {} x {} x {} values is larger than memory can be",
                             a, b, c));
  }
  return backend.allocate(*n_bytes);
}

}  // namespace

Result<std::unique_ptr<SequenceState>> State::create(const ModelConfig& config, Backend& backend,
                                                     const void* owner, size_t capacity) {
  std::unique_ptr<State> state(new State(config, backend, owner, capacity));
  const auto size = [](int64_t n) { return static_cast<uint64_t>(n); };
  for (const LayerKind kind : config.layer_kinds) {
    Layer layer;
    if (kind == LayerKind::kLinearAttention) {
      ASSIGN_OR_RETURN(layer.recurrent,
                       allocate_floats(backend, size(config.linear_n_value_heads),
                                       size(config.linear_key_dim), size(config.linear_value_dim)));
      ASSIGN_OR_RETURN(layer.conv, allocate_floats(backend, size(config.conv_kernel - 1),
                                                   size(config.conv_channels()), 1));
    } else {
      for (Buffer* cache : {&layer.keys, &layer.values}) {
        ASSIGN_OR_RETURN(*cache, allocate_floats(backend, size(config.n_kv_heads), capacity,
                                                 size(config.head_dim)));
      }
    }
    state->layers_.push_back(std::move(layer));
  }
  return std::unique_ptr<SequenceState>(std::move(state));
}

size_t State::n_bytes() const {
  size_t sum = 0;
  for (const Layer& layer : layers_) {
    sum += layer.recurrent.n_bytes() + layer.conv.n_bytes() + layer.keys.n_bytes() +
           layer.values.n_bytes();
  }
  return sum;
}

void State::reset() {
  // Rows of the key/value caches beyond n_tokens are never read, so they need no clearing.
  for (const Layer& layer : layers_) {
    if (layer.recurrent.n_bytes() > 0) {
      backend_.zero(layer.recurrent.data(), layer.recurrent.n_bytes());
      backend_.zero(layer.conv.data(), layer.conv.n_bytes());
    }
  }
  n_tokens_ = 0;
}

std::vector<float> State::download(const Buffer& buffer) const {
  std::vector<float> values(buffer.n_bytes() / sizeof(float));
  backend_.download(buffer.data(), buffer.n_bytes(), values.data());
  return values;
}

std::vector<float> State::download_cache(const Buffer& cache) const {
  const auto head_dim = static_cast<size_t>(config_.head_dim);
  const auto n_heads = static_cast<size_t>(config_.n_kv_heads);
  const size_t n_filled = n_tokens_ * head_dim;
  std::vector<float> values(n_heads * n_filled);
  for (size_t head = 0; head < n_heads; ++head) {
    backend_.download(cache.f32() + head * capacity_ * head_dim, n_filled * sizeof(float),
                      values.data() + head * n_filled);
  }
  return values;
}

Result<std::vector<float>> State::read(size_t layer, std::string_view part) const {
  if (layer < layers_.size()) {
    backend_.synchronize();
    const Layer& l = layers_[layer];
    const bool is_attention = config_.layer_kinds[layer] == LayerKind::kFullAttention;
    if (is_attention && part == "key") return download_cache(l.keys);
    if (is_attention && part == "value") return download_cache(l.values);
    if (!is_attention && part == "recurrent") return download(l.recurrent);
    if (!is_attention && part == "conv") return download(l.conv);
  }
  return Error(ErrorCode::kInvalidArgument, fmt::format("layer {} of {} has no state called \"{}\"",
                                                        layer, layers_.size(), part));
}

}  // namespace nibble::qwen3_5

// What every step of one forward pass is given: the sizes of the model and of the batch, and the
// way to the tap.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "model/config.h"
#include "model/model.h"

namespace nibble::qwen3_5 {

struct Pass {
  Pass(Backend& device, const ModelConfig& model, const Batch& rows, Tap* watcher)
      : backend(device), config(model), batch(rows), tap(watcher) {}

  static size_t n(int64_t size) { return static_cast<size_t>(size); }

  /// Shows rows of `n_cols` values that stand `stride` apart.
  void see(std::string_view point, size_t layer, ConstRows rows, size_t n_cols) const {
    const auto layer_id = static_cast<int64_t>(layer);
    if (tap == nullptr || !tap->wants(point, layer_id)) return;
    std::vector<float> values(rows.n_rows * rows.stride - (rows.stride - n_cols));
    backend.synchronize();
    backend.download(rows.data, values.size() * sizeof(float), values.data());
    for (size_t r = 1; r < rows.n_rows && rows.stride != n_cols; ++r) {
      std::copy_n(values.data() + r * rows.stride, n_cols, values.data() + r * n_cols);
    }
    tap->see(point, layer_id, {values.data(), rows.n_rows * n_cols}, rows.n_rows, n_cols);
  }
  void see(std::string_view point, size_t layer, const float* rows, size_t n_cols) const {
    see(point, layer, {rows, n_rows, n_cols}, n_cols);
  }

  Backend& backend;
  const ModelConfig& config;
  const Batch& batch;
  Tap* tap;
  const size_t n_rows = batch.tokens.size();
  const size_t hidden = n(config.hidden_size);
};

}  // namespace nibble::qwen3_5

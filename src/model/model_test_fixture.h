// What the tests of this room share: models opened on every CPU implementation, sequences run and
// compared with stored references, and checkpoints changed for the occasion.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/cpu_backend.h"
#include "checkpoint/tensor_file.h"
#include "core/json.h"
#include "model/model.h"
#include "tensor/tensor.h"
#include "tests/test_data.h"

namespace nibble::test {

/// Names of the implementations that this processor can run.
std::vector<std::string> supported_implementations();

/// A model and the backend under it.
struct LoadedModel {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Model> model;
};

/// Opens a folder; the test fails and `model` is empty where that does not work.
LoadedModel open_model(const std::string& folder, const std::string& implementation,
                       size_t max_batch_rows = 512);

/// A folder with the same files, by symbolic links, but without golden.safetensors.
void link_without_golden(const std::string& folder, const std::string& target);

/// A tensor of a file as floats, or as ids. The test fails where there is no such tensor.
std::vector<float> floats(const TensorFile& file, const std::string& name);
std::vector<int32_t> ids(const TensorFile& file, const std::string& name);

/// Opens a file of reference values; the test ends where that does not work.
TensorFile open_golden(const std::string& path);

/// Runs tokens in batches of the given sizes (the last repeats) and returns all logits.
std::vector<float> run(Model& model, SequenceState& state, std::span<const int32_t> tokens,
                       std::vector<size_t> batch_sizes = {512}, Tap* tap = nullptr);

/// Greedy continuation of a prompt, without any stop token.
std::vector<int32_t> continue_greedily(Model& model, std::span<const int32_t> prompt, size_t n);

/// Largest absolute difference; infinity for NaN or different sizes.
double max_difference(std::span<const float> a, std::span<const float> b);

/// Keeps every value that the forward pass shows, as "layer.3.self_attn.q_norm"; batches are
/// appended.
class Recorder final : public Tap {
 public:
  bool wants(std::string_view, int64_t) override { return true; }
  void see(std::string_view point, int64_t layer, std::span<const float> values, size_t n_rows,
           size_t n_cols) override;

  std::map<std::string, std::vector<float>> values;
  std::map<std::string, size_t> n_cols;
};

/// The tensors and config of a plain one-file checkpoint, to be changed and written elsewhere.
struct EditableCheckpoint {
  explicit EditableCheckpoint(const std::string& folder);
  /// Writes config.json and model.safetensors. Errors fail the test.
  void write(const std::string& folder) const;

  Json config;
  std::map<std::string, Tensor> tensors;  ///< by stored name
};

}  // namespace nibble::test

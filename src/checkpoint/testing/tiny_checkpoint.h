// Checkpoint folders made by tests: small models in every dialect, and simple quantization.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/tensor_file.h"
#include "checkpoint/writer.h"
#include "core/json.h"
#include "numbers/bf16.h"
#include "numbers/nvfp4.h"

namespace nibble::test {

/// A tensor under construction, owning its bytes.
struct OwnedTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<std::byte> bytes;
};

template <typename T>
OwnedTensor tensor_of(std::string name, DType dtype, Shape shape, const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {std::move(name), dtype, std::move(shape), {bytes.begin(), bytes.end()}};
}

inline OwnedTensor filled(std::string name, DType dtype, Shape shape, uint8_t byte) {
  const size_t n_bytes = *n_elements(shape) * dtype_bytes(dtype);
  return {std::move(name), dtype, std::move(shape), std::vector(n_bytes, std::byte{byte})};
}

inline void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string read_text(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

inline void write_tensors(const std::string& path, const std::vector<OwnedTensor>& tensors) {
  std::vector<NamedTensor> views;
  for (const OwnedTensor& tensor : tensors) {
    views.push_back({tensor.name, {tensor.dtype, tensor.shape, tensor.bytes}});
  }
  const Status status = write_tensor_file(path, views);
  ASSERT_TRUE(status) << status.error().to_string();
}

/// Writes a folder of one model.safetensors and a config.
inline void write_checkpoint(const std::string& folder, const Json& config,
                             const std::vector<OwnedTensor>& tensors) {
  std::filesystem::create_directories(folder);
  write_text(folder + "/config.json", dump_json(config));
  write_tensors(folder + "/model.safetensors", tensors);
}

/// Plain rounding to nearest: enough to have something to store.
inline QuantizedMatrix quantize_plainly(const Checkpoint& checkpoint, const TensorInfo& tensor) {
  QuantizedMatrix matrix;
  matrix.rows = tensor.shape[0];
  matrix.cols = tensor.shape[1];
  std::vector<float> values(matrix.rows * matrix.cols);
  const Status status = checkpoint.read_rows_f32(tensor, 0, matrix.rows, values);
  EXPECT_TRUE(status);
  auto amax = [](std::span<const float> part) {
    float largest = 0.0f;
    for (const float value : part) largest = std::max(largest, std::abs(value));
    return largest;
  };
  matrix.tensor_scale = nvfp4_tensor_scale(amax(values));
  matrix.codes.resize(values.size() / 2);
  matrix.scales.resize(values.size() / kNvfp4BlockSize);
  for (size_t b = 0; b < matrix.scales.size(); ++b) {
    const auto block = std::span(values).subspan(b * kNvfp4BlockSize, kNvfp4BlockSize);
    matrix.scales[b] = nvfp4_block_scale(amax(block), matrix.tensor_scale);
    nvfp4_encode_block(block.data(), matrix.scales[b], matrix.tensor_scale,
                       matrix.codes.data() + b * kNvfp4BlockBytes);
  }
  return matrix;
}

/// Quantizes what `choose` picks and writes the output; the finish's status.
template <typename Choose>
Status quantize_folder(const std::shared_ptr<const Checkpoint>& source,
                       const std::string& destination, const WriterOptions& options, Choose choose,
                       std::optional<float> input_scale = std::nullopt) {
  std::vector<PlannedTensor> plan;
  for (const TensorInfo& tensor : source->tensors()) {
    const bool chosen = choose(tensor);
    plan.push_back({&tensor, chosen ? WeightTarget::kNvfp4 : WeightTarget::kKeep,
                    chosen && input_scale.has_value()});
  }
  ASSIGN_OR_RETURN(auto writer, CheckpointWriter::create(source, plan, destination, options));
  for (const PlannedTensor& planned : plan) {
    if (planned.target == WeightTarget::kKeep) {
      RETURN_IF_ERROR(writer->write_source());
      continue;
    }
    QuantizedMatrix matrix = quantize_plainly(*source, *planned.source);
    matrix.input_scale = input_scale;
    RETURN_IF_ERROR(writer->write_nvfp4(matrix.view()));
  }
  EXPECT_EQ(writer->n_written_bytes(), writer->total_bytes());
  return writer->finish();
}

/// The layer linears that are usually quantized.
inline bool is_layer_linear(const TensorInfo& tensor) {
  const std::string& name = tensor.name;
  return name.starts_with("layers.") && tensor.shape.size() == 2 && name.ends_with(".weight") &&
         name.find("in_proj_a") == std::string::npos && name.find("in_proj_b") == std::string::npos;
}

inline bool is_mlp(const TensorInfo& tensor) {
  return is_layer_linear(tensor) && tensor.name.find(".mlp.") != std::string::npos;
}

inline std::shared_ptr<const Checkpoint> open_or_fail(const std::string& folder) {
  auto opened = Checkpoint::open(folder);
  EXPECT_TRUE(opened) << (opened ? "" : opened.error().to_string());
  return opened ? *opened : nullptr;
}

}  // namespace nibble::test

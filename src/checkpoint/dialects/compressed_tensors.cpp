// compressed-tensors (llm-compressor, AutoRound's export of that name): NVFP4 packed as
// "nvfp4-pack-quantized", whose second-level scales are stored as divisors, W4A4 with
// input_global_scale and W4A16 without; FP8 as "float-quantized".
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "checkpoint/dialects/compressed_tensors_description.h"
#include "checkpoint/dialects/compressed_tensors_parts.h"
#include "checkpoint/dialects/dialect.h"
#include "checkpoint/dialects/fp8_output.h"
#include "checkpoint/dialects/read_descriptions.h"
#include "numbers/bf16.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

constexpr const QuantizedPartNames& kNames = kCompressedTensorsParts;

bool recognises(const StoredFolder& folder) {
  if (folder.place != DescriptionPlace::kConfig) return false;
  const auto method = folder.description.find("quant_method");
  return method != folder.description.end() && *method == "compressed-tensors";
}

Result<std::vector<CanonicalTensor>> read(const StoredFolder& folder) {
  RETURN_IF_ERROR(check_compressed_tensors_description(folder.description, folder.path));
  return read_quantized_tensors(folder, kNames);
}

std::string refusal(StoredAs /*stored*/) { return {}; }

std::vector<SafetensorsDeclaration> declare(const std::string& module, StoredAs stored,
                                            uint64_t rows, uint64_t cols) {
  if (stored.kind != WeightTarget::kNvfp4) return declare_fp8(module, stored, rows, cols, {1});
  auto named = [&](std::string_view ending) { return fmt::format("{}{}", module, ending); };
  std::vector<SafetensorsDeclaration> parts = {
      {named(kNames.codes), DType::kU8, {rows, cols / 2}},
      {named(kNames.scales), DType::kF8E4M3, {rows, cols / kNvfp4BlockSize}},
      {named(kNames.tensor_scale), DType::kF32, {1}},
  };
  if (stored.has_input_scale) parts.push_back({named(kNames.input_scale), DType::kF32, {1}});
  return parts;
}

// The divisor that states a multiplier: the one that a file gave, where it is known; else a
// neighbour of the reciprocal that is a BF16 number, as llm-compressor makes them, if it states the
// same multiplier.
float divisor_of(float scale, float stated) {
  if (1.0f / stated == scale) return stated;
  const float nearest = 1.0f / scale;
  for (const float candidate :
       {nearest, std::nextafter(nearest, 0.0f), std::nextafter(nearest, 2.0f * nearest)}) {
    const bool is_bf16 = bf16_to_f32(f32_to_bf16(candidate)) == candidate;
    if (is_bf16 && 1.0f / candidate == scale) return candidate;
  }
  return nearest;
}

Result<std::vector<EncodedPart>> encode(const QuantizedMatrixView& matrix) {
  const float divisor = divisor_of(matrix.tensor_scale, matrix.divisors.tensor);
  if (!std::isnormal(divisor) || 1.0f / divisor != matrix.tensor_scale) {
    return Error(
        ErrorCode::kInvalidArgument,
        fmt::format("the tensor scale {} is not the reciprocal of its reciprocal, so "
                    "compressed-tensors, which stores the divisor, cannot hold it exactly; "
                    "quantize with a canonical tensor scale",
                    matrix.tensor_scale));
  }
  std::vector<EncodedPart> parts;
  parts.push_back(borrowed_part(matrix.codes));
  parts.push_back(borrowed_part(matrix.scales));
  parts.push_back(scalar_part(divisor));
  if (matrix.input_scale) {
    parts.push_back(scalar_part(divisor_of(*matrix.input_scale, matrix.divisors.input)));
  }
  return parts;
}

SafetensorsDeclaration declare_cache_scale(const std::string& module) {
  // Beside the attention: "X.k_proj" becomes "X.k_scale".
  const size_t dot = module.find_last_of('.');
  const std::string_view projection = std::string_view(module).substr(dot + 1);
  return {
      fmt::format("{}.{}_scale", module.substr(0, dot), projection.substr(0, 1)), DType::kF32, {1}};
}

std::vector<std::pair<std::string, std::string>> describe(const OutputSummary& summary,
                                                          Json& config) {
  config["quantization_config"] = compressed_tensors_description(summary);
  return {};
}

}  // namespace

const Dialect kCompressedTensorsDialect = {
    "compressed-tensors", recognises,          read,    refusal, declare, encode,
    encode_fp8,           declare_cache_scale, describe};

}  // namespace nibble

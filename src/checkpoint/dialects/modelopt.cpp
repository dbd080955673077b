// ModelOpt's unified Hugging Face export, algorithms NVFP4 (W4A4) and W4A16_NVFP4: second-level
// scales are stored as multipliers, codes take the name of the weight.
#include <fmt/format.h>

#include <array>
#include <utility>

#include "checkpoint/dialects/dialect.h"
#include "checkpoint/dialects/fp8_output.h"
#include "checkpoint/dialects/modelopt_description.h"
#include "checkpoint/dialects/quantized_parts.h"
#include "checkpoint/dialects/read_descriptions.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

constexpr std::array<std::string_view, 3> kUnsupportedEndings = {
    ".pre_quant_scale", ".svdquant_lora_a", ".svdquant_lora_b"};

constexpr QuantizedPartNames kNames = {
    .codes = ".weight",
    .scales = ".weight_scale",
    .tensor_scale = ".weight_scale_2",
    .input_scale = ".input_scale",
    .fp8_input_scale = ".input_scale",
    .nvfp4_scalars_are_divisors = false,
    .unsupported = kUnsupportedEndings,
};

bool recognises(const StoredFolder& folder) {
  return is_modelopt_description(folder.place, folder.description);
}

Result<std::vector<CanonicalTensor>> read(const StoredFolder& folder) {
  RETURN_IF_ERROR(check_modelopt_description(folder.description, folder.path));
  return read_quantized_tensors(folder, kNames);
}

std::string refusal(StoredAs stored) {
  if (stored.kind == WeightTarget::kFp8Channel) {
    return "its FP8 layers have one scale a matrix, not one a row";
  }
  if (stored.kind == WeightTarget::kFp8Tensor && !stored.has_input_scale) {
    return "its FP8 layers need a static activation scale";
  }
  return {};
}

std::vector<SafetensorsDeclaration> declare(const std::string& module, StoredAs stored,
                                            uint64_t rows, uint64_t cols) {
  if (stored.kind != WeightTarget::kNvfp4) return declare_fp8(module, stored, rows, cols, {});
  auto named = [&](std::string_view ending) { return fmt::format("{}{}", module, ending); };
  std::vector<SafetensorsDeclaration> parts = {
      {named(kNames.codes), DType::kU8, {rows, cols / 2}},
      {named(kNames.scales), DType::kF8E4M3, {rows, cols / kNvfp4BlockSize}},
      {named(kNames.tensor_scale), DType::kF32, {}},
  };
  if (stored.has_input_scale) parts.push_back({named(kNames.input_scale), DType::kF32, {}});
  return parts;
}

Result<std::vector<EncodedPart>> encode(const QuantizedMatrixView& matrix) {
  std::vector<EncodedPart> parts;
  parts.push_back(borrowed_part(matrix.codes));
  parts.push_back(borrowed_part(matrix.scales));
  parts.push_back(scalar_part(matrix.tensor_scale));
  if (matrix.input_scale) parts.push_back(scalar_part(*matrix.input_scale));
  return parts;
}

SafetensorsDeclaration declare_cache_scale(const std::string& module) {
  // Below the projection: "X.k_proj" becomes "X.k_proj.k_scale".
  const std::string_view projection = std::string_view(module).substr(module.find_last_of('.') + 1);
  return {fmt::format("{}.{}_scale", module, projection.substr(0, 1)), DType::kF32, {}};
}

std::vector<std::pair<std::string, std::string>> describe(const OutputSummary& summary,
                                                          Json& config) {
  config["quantization_config"] = modelopt_config_section(summary);
  return {{std::string(kHfQuantConfigName), dump_json(modelopt_quant_file(summary))}};
}

}  // namespace

const Dialect kModelOptDialect = {"modelopt", recognises, read,       refusal,
                                  declare,    encode,     encode_fp8, declare_cache_scale,
                                  describe};

}  // namespace nibble

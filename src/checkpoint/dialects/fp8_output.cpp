#include "checkpoint/dialects/fp8_output.h"

#include <bit>

#include "checkpoint/dialects/quantized_parts.h"

namespace nibble {

static_assert(std::endian::native == std::endian::little,
              "scales are written as they lie in memory");

std::vector<SafetensorsDeclaration> declare_fp8(const std::string& module, StoredAs stored,
                                                uint64_t rows, uint64_t cols,
                                                const Shape& scalar_shape) {
  const bool per_row = stored.kind == WeightTarget::kFp8Channel;
  std::vector<SafetensorsDeclaration> parts = {
      {module + ".weight", DType::kF8E4M3, {rows, cols}},
      {module + ".weight_scale", DType::kF32, per_row ? Shape{rows, 1} : scalar_shape},
  };
  if (stored.has_input_scale) {
    parts.push_back({module + ".input_scale", DType::kF32, scalar_shape});
  }
  return parts;
}

Result<std::vector<EncodedPart>> encode_fp8(const Fp8MatrixView& matrix) {
  std::vector<EncodedPart> parts;
  parts.push_back(borrowed_part(matrix.codes));
  parts.push_back({std::as_bytes(matrix.scales), {}});
  if (matrix.input_scale) parts.push_back(scalar_part(*matrix.input_scale));
  return parts;
}

}  // namespace nibble

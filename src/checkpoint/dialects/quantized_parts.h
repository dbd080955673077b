// Puts the stored parts of NVFP4 and FP8 matrices together, for every dialect that keeps elements
// and scales as separate tensors of one module. Which of the two a matrix is, its own tensors say.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "checkpoint/dialects/dialect.h"

namespace nibble {

/// How a dialect names the parts of the module "X" and what its scalars mean.
///
/// An NVFP4 matrix has codes U8 [rows, cols / 2], block scales F8_E4M3 [rows, cols / 16] and a
/// tensor scale. An FP8 matrix has ".weight" F8_E4M3 [rows, cols] and, under the name of the block
/// scales, one float or one per row; its scales are multipliers in every dialect.
struct QuantizedPartNames {
  std::string_view codes;
  std::string_view scales;
  std::string_view tensor_scale;
  std::string_view input_scale;      ///< of NVFP4: one float, optional
  std::string_view fp8_input_scale;  ///< of FP8: one float, optional
  bool nvfp4_scalars_are_divisors = false;
  std::span<const std::string_view> unsupported;  ///< endings that mean another number format
};

/// All tensors of the folder, matrices assembled. Every problem of every tensor is reported in one
/// message: missing parts, shapes, element types, scales that are not finite and positive.
/// Errors: kCorrupt.
/// Cost: reads the scales of FP8 matrices and the scalars of NVFP4 ones.
Result<std::vector<CanonicalTensor>> read_quantized_tensors(const StoredFolder& folder,
                                                            const QuantizedPartNames& names);

/// The bytes of one float, as a part of its own.
EncodedPart scalar_part(float value);

/// Bytes of a matrix, as a borrowed part.
EncodedPart borrowed_part(std::span<const uint8_t> bytes);

}  // namespace nibble

// Puts the stored parts of NVFP4 matrices together, for every dialect that keeps codes, block
// scales and second-level scales as separate tensors of one module.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "checkpoint/dialects/dialect.h"

namespace nibble {

/// How a dialect names the parts of the module "X" and what its scalars mean.
struct Nvfp4PartNames {
  std::string_view codes;         ///< U8 [rows, cols / 2]
  std::string_view scales;        ///< F8_E4M3 [rows, cols / 16]
  std::string_view tensor_scale;  ///< one float
  std::string_view input_scale;   ///< one float, optional
  bool scalars_are_divisors = false;
  std::span<const std::string_view> unsupported;  ///< endings that mean another number format
};

/// All tensors of the folder, matrices assembled. Every problem of every tensor is reported in one
/// message: missing parts, shapes, element types, scalars that are not finite and positive.
/// Errors: kCorrupt.
Result<std::vector<CanonicalTensor>> read_nvfp4_tensors(const StoredFolder& folder,
                                                        const Nvfp4PartNames& names);

/// The bytes of one float, as a part of its own.
EncodedPart scalar_part(float value);

/// Bytes of a matrix, as a borrowed part.
EncodedPart borrowed_part(std::span<const uint8_t> bytes);

}  // namespace nibble

// FP8 matrices as both Hugging Face dialects store them: E4M3 codes under the name of the weight,
// scales as multipliers.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/dialects/dialect.h"

namespace nibble {

/// The stored tensors of an FP8 matrix.
///   scalar_shape  what the dialect gives a tensor of one float: [] or [1]
std::vector<SafetensorsDeclaration> declare_fp8(const std::string& module, StoredAs stored,
                                                uint64_t rows, uint64_t cols,
                                                const Shape& scalar_shape);

/// Their bytes, in the same order, borrowed from the matrix.
Result<std::vector<EncodedPart>> encode_fp8(const Fp8MatrixView& matrix);

}  // namespace nibble

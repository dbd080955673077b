// Turns a matrix in any stored form into rows of plain elements or Q8_0 blocks, piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "core/result.h"
#include "formats/gguf.h"
#include "tensor/matrix_source.h"

namespace nibble {

/// What becomes of every value on the way.
enum class ValueChange : uint8_t {
  kNone,
  kPlusOne,   ///< x + 1
  kMinusExp,  ///< -exp(x)
};

using ByteSink = std::function<Status(std::span<const std::byte>)>;

/// Encodes rows [first_row, first_row + n_rows) of `source`, rounded to nearest (ties to even; Q8_0
/// as encode_q8_0 does), and hands the bytes to `sink` in order. Elements that have that type
/// already pass as they are. Memory: a few MB.
///   type  kF32, kF16, kBF16 or kQ8_0 (CHECK); for kQ8_0 columns are a multiple of 32
/// Errors: those of decode_rows and of the sink.
Status encode_elements(const MatrixSource& source, uint64_t first_row, uint64_t n_rows,
                       GgufType type, ValueChange change, const ByteSink& sink);

}  // namespace nibble

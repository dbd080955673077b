// Runs a method that treats every row on its own over a whole matrix, rows shared out to threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"
#include "quantize/methods/method.h"

namespace nibble {

/// Quantizes consecutive blocks of 16.
///   values  [n_blocks * 16], finite
///   codes   [n_blocks * 8] out, even element in the low nibble;  scales  [n_blocks] out
using RowKernel = void (*)(const float* values, size_t n_blocks, float tensor_scale, uint8_t* codes,
                           uint8_t* scales);

/// Quantizes the matrix row by row. Memory: the result, and one row of F32 for each thread.
/// Errors: kOutOfMemory.
Result<QuantizedMatrix> quantize_rows(const MatrixTask& task, RowKernel kernel, ThreadPool& pool);

}  // namespace nibble

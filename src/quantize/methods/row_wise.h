// Runs a method that treats every row on its own over a whole matrix, rows shared out to threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"
#include "quantize/methods/isa/row_kernels.h"
#include "quantize/methods/method.h"

namespace nibble {

/// Widens n elements of a floating dtype to F32, with the kernels of this processor.
void widen_elements(DType dtype, const std::byte* elements, size_t n, float* out);

/// Quantizes the matrix row by row. Memory: the result.
/// Errors: kOutOfMemory.
Result<QuantizedMatrix> quantize_rows(const MatrixTask& task, RowKernel kernel, ThreadPool& pool);

}  // namespace nibble

// How far quantization moved a matrix.
#pragma once

#include "core/thread_pool.h"
#include "quantize/quantize.h"

namespace nibble {

/// Decodes the matrix and compares it with the weights it came from; fills every field of the
/// result except name and role. Sums are taken row by row in F64, so the result is the same for
/// every number of threads.
///   weights  [rows, cols] of any floating dtype, finite, borrowed
/// Cost: one pass over both.
TensorError measure_error(const TensorView& weights, const QuantizedMatrixView& matrix,
                          ThreadPool& pool);
/// The same for FP8.
TensorError measure_error(const TensorView& weights, const Fp8MatrixView& matrix, ThreadPool& pool);

/// Adds what another part of the same matrix lost.
void merge_error(TensorError& error, const TensorError& part);

/// sum_squared_errors / sum_squares; 0 where there is no error, also for a matrix of zeros.
double relative_mse(double sum_squared_errors, double sum_squares);

/// -10 log10(relative_mse); +infinity for 0.
double sqnr_db(double relative_mse);

}  // namespace nibble

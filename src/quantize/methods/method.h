// The methods that choose codes and block scales, one matrix at a time, and the list of them.
#pragma once

#include <span>
#include <string_view>

#include "core/result.h"
#include "core/thread_pool.h"
#include "tensor/quantized_matrix.h"
#include "tensor/tensor.h"

namespace nibble {

/// What a method gets to work on.
struct MatrixTask {
  TensorView weights;  ///< [rows, cols], floating, all finite, cols a multiple of 16; borrowed
  float tensor_scale = 1.0f;  ///< the second-level scale that the result must use
};

/// Quantizes one matrix. The result is the same for every number of threads and on every processor.
/// Errors: kOutOfMemory.
using QuantizeFunction = Result<QuantizedMatrix> (*)(const MatrixTask& task, ThreadPool& pool);

/// One row of the list.
struct Method {
  std::string_view name;
  std::string_view description;  ///< one line, for --help
  QuantizeFunction quantize;
};

/// All methods, the simplest first.
std::span<const Method> methods();

/// The method of that name, or nullptr.
const Method* find_method(std::string_view name);

}  // namespace nibble

// A tensor of any checkpoint in the form that all of them can be compared in.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/result.h"
#include "tensor/matrix_source.h"

namespace nibble {

/// A matrix whose order or packing may differ from the file's. `source` borrows the checkpoint's
/// bytes where nothing had to change, otherwise the bytes owned here. Move-only, so that the views
/// stay valid.
struct ArrangedMatrix {
  MatrixSource source;
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  QuantizedMatrix canonical;

  explicit ArrangedMatrix(MatrixSource borrowed) : source(std::move(borrowed)) {}
  ArrangedMatrix(ArrangedMatrix&&) = default;
  ArrangedMatrix& operator=(ArrangedMatrix&&) = default;
};

/// The tensor with its value heads grouped, NVFP4 in canonical packing, whatever the file's order
/// and packing are. Nothing is rounded. Cost: a copy of the tensor where anything changes. Safe
/// from several threads. Errors: kUnsupported, kCorrupt (heads that do not fit the shape).
Result<ArrangedMatrix> grouped_matrix(const Checkpoint& checkpoint, const TensorInfo& tensor);

}  // namespace nibble

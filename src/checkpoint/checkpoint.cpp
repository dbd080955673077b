#include "checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "checkpoint/storage/checkpoint_impl.h"
#include "checkpoint/storage/problem_list.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

// A vector as a matrix whose rows are its elements.
TensorView column(TensorView vector) {
  vector.shape.push_back(1);
  return vector;
}

}  // namespace

std::string_view storage_name(const TensorInfo& tensor) {
  switch (tensor.storage) {
    case Storage::kPlain:
      break;
    case Storage::kNvfp4:
      return "NVFP4";
    case Storage::kFp8:
      return "FP8";
    case Storage::kBlocks:
      return block_kind_name(tensor.block_kind);
  }
  return dtype_name(tensor.dtype);
}

size_t Checkpoint::Impl::index(const TensorInfo& tensor) const {
  const auto at = by_name.find(tensor.name);
  CHECK(at != by_name.end());
  return at->second;
}

Checkpoint::Checkpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Checkpoint::~Checkpoint() = default;

const std::string& Checkpoint::folder() const { return impl_->opened.path; }
std::string_view Checkpoint::dialect() const { return impl_->opened.dialect; }
const Json& Checkpoint::config() const { return impl_->opened.config; }
std::span<const TensorInfo> Checkpoint::tensors() const { return impl_->opened.tensors; }

const TensorInfo* Checkpoint::find(std::string_view name) const {
  const auto at = impl_->by_name.find(name);
  return at == impl_->by_name.end() ? nullptr : &impl_->opened.tensors[at->second];
}

MatrixSource Checkpoint::matrix(const TensorInfo& tensor) const {
  return impl_->opened.sources[impl_->index(tensor)];
}

TensorView Checkpoint::plain(const TensorInfo& tensor) const {
  const MatrixSource& source = impl_->opened.sources[impl_->index(tensor)];
  CHECK(std::holds_alternative<TensorView>(source));
  return std::get<TensorView>(source);
}

QuantizedMatrixView Checkpoint::nvfp4(const TensorInfo& tensor) const {
  const MatrixSource& source = impl_->opened.sources[impl_->index(tensor)];
  CHECK(std::holds_alternative<QuantizedMatrixView>(source));
  return std::get<QuantizedMatrixView>(source);
}

Status Checkpoint::read_rows_f32(const TensorInfo& tensor, uint64_t first_row, uint64_t n_rows,
                                 std::span<float> out) const {
  const Shape& shape = tensor.shape;
  if (shape.empty() || first_row > shape[0] || n_rows > shape[0] - first_row) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("rows {} to {} of a tensor of shape {} do not exist", first_row,
                             first_row + n_rows, shape_text(shape)),
                 tensor.name);
  }
  const MatrixSource source = shape.size() == 1 ? column(plain(tensor)) : matrix(tensor);
  const uint64_t rows_each = shape[0] == 0 ? 0 : matrix_rows(source) / shape[0];
  const Status status = decode_rows(source, first_row * rows_each, n_rows * rows_each, out);
  if (!status) return Error(status.error().code, status.error().message, tensor.name);
  return {};
}

Result<std::string> Checkpoint::side_file(std::string_view name) const {
  if (name.empty() || name.front() == '.' || name.find('/') != std::string_view::npos) {
    return Error(ErrorCode::kInvalidArgument, "is not the name of a file beside the weights",
                 std::string(name));
  }
  return impl_->opened.store->side_file(name);
}

std::string Checkpoint::file_path(const TensorInfo& tensor) const {
  return tensor.shard.empty() ? folder() : folder() + "/" + tensor.shard;
}

Status Checkpoint::intact() const { return impl_->opened.store->intact(); }

void Checkpoint::release(const TensorInfo& tensor) const {
  impl_->opened.store->release(impl_->index(tensor));
}

Status check_scales(const Checkpoint& checkpoint) {
  ProblemList bad;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    if (tensor.storage != Storage::kNvfp4) continue;
    const QuantizedMatrixView matrix = checkpoint.nvfp4(tensor);
    const auto at = std::find_if(matrix.scales.begin(), matrix.scales.end(),
                                 [](uint8_t code) { return code > kE4m3MaxCode; });
    if (at != matrix.scales.end()) {
      const auto block = static_cast<uint64_t>(at - matrix.scales.begin());
      const uint64_t n_blocks = matrix.cols / kNvfp4BlockSize;
      bad.add(fmt::format("{} has a {} block scale (0x{:02x}) in row {}, block {}", tensor.name,
                          (*at & 0x7f) == 0x7f ? "NaN" : "negative", *at, block / n_blocks,
                          block % n_blocks));
    }
    if (matrix.tensor_scale > 1.0f) {
      bad.add(fmt::format("{} has the tensor scale {}, so large that it is probably inverted",
                          tensor.name, matrix.tensor_scale));
    }
  }
  RETURN_IF_ERROR(checkpoint.intact());
  if (bad.empty()) return {};
  return Error(ErrorCode::kCorrupt,
               fmt::format("{} quantized matrices have bad scales: {}", bad.size(), bad.text()),
               checkpoint.folder());
}

}  // namespace nibble

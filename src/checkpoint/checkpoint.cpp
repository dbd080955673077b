#include "checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "checkpoint/storage/checkpoint_impl.h"
#include "checkpoint/storage/problem_list.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

std::span<const uint8_t> as_codes(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

}  // namespace

const CanonicalTensor& Checkpoint::Impl::place(const TensorInfo& tensor) const {
  const auto at = by_name.find(tensor.name);
  CHECK(at != by_name.end());
  return places[at->second];
}

TensorView Checkpoint::Impl::view(const StoredTensor& stored) const {
  return folder.shards[stored.shard].file.view(*stored.entry);
}

Checkpoint::Checkpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Checkpoint::~Checkpoint() = default;

const std::string& Checkpoint::folder() const { return impl_->folder.path; }
std::string_view Checkpoint::dialect() const { return impl_->dialect; }
const Json& Checkpoint::config() const { return impl_->folder.config; }
std::span<const TensorInfo> Checkpoint::tensors() const { return impl_->tensors; }

const TensorInfo* Checkpoint::find(std::string_view name) const {
  const auto at = impl_->by_name.find(name);
  return at == impl_->by_name.end() ? nullptr : &impl_->tensors[at->second];
}

TensorView Checkpoint::plain(const TensorInfo& tensor) const {
  const CanonicalTensor& place = impl_->place(tensor);
  CHECK(place.info.storage == Storage::kPlain);
  return impl_->view(place.data);
}

QuantizedMatrixView Checkpoint::nvfp4(const TensorInfo& tensor) const {
  const CanonicalTensor& place = impl_->place(tensor);
  CHECK(place.info.storage == Storage::kNvfp4);
  return {place.info.shape[0],
          place.info.shape[1],
          as_codes(impl_->view(place.data).bytes),
          as_codes(impl_->view(place.scales).bytes),
          place.tensor_scale,
          place.input_scale};
}

Status Checkpoint::read_rows_f32(const TensorInfo& tensor, uint64_t first_row, uint64_t n_rows,
                                 std::span<float> out) const {
  const CanonicalTensor& place = impl_->place(tensor);
  const Shape& shape = place.info.shape;
  if (shape.empty() || first_row > shape[0] || n_rows > shape[0] - first_row) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("rows {} to {} of a tensor of shape {} do not exist", first_row,
                             first_row + n_rows, shape_text(shape)),
                 place.info.name);
  }
  if (place.info.storage == Storage::kNvfp4) {
    CHECK(out.size() == n_rows * shape[1]);
    dequantize_rows(nvfp4(tensor), first_row, n_rows, out);
    return {};
  }
  const TensorView all = impl_->view(place.data);
  const size_t row_bytes = shape[0] == 0 ? 0 : all.bytes.size() / shape[0];
  TensorView rows{all.dtype, shape, all.bytes.subspan(first_row * row_bytes, n_rows * row_bytes)};
  rows.shape[0] = n_rows;
  Status status = to_f32(rows, out);
  if (!status) return Error(status.error().code, status.error().message, place.info.name);
  return {};
}

Status Checkpoint::intact() const {
  for (const Shard& shard : impl_->folder.shards) RETURN_IF_ERROR(shard.file.intact());
  return {};
}

void Checkpoint::release(const TensorInfo& tensor) const {
  const CanonicalTensor& place = impl_->place(tensor);
  for (const StoredTensor& stored : {place.data, place.scales}) {
    if (stored.entry == nullptr) continue;
    impl_->folder.shards[stored.shard].file.release(*stored.entry);
  }
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

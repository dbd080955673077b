#include "checkpoint/storage/folder_store.h"

#include <fmt/format.h>

#include <utility>

#include "checkpoint/storage/expert_stack.h"
#include "core/file.h"

namespace nibble {
namespace {

std::span<const uint8_t> as_codes(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

// A tensor of the canonical view: one that a dialect read, or a matrix of a stack of experts.
struct Placed {
  size_t tensor = 0;  // among those that the dialect read
  TensorInfo info;
  uint64_t first_row = 0;
  uint64_t n_rows = 0;  // 0: all of it
};

TensorInfo slice_info(const TensorInfo& stack, const ExpertSlice& slice) {
  TensorInfo info = stack;
  info.name.clear();
  info.stored_name = slice.stored_name;
  info.shape = {slice.n_rows, stack.shape[2]};
  info.n_bytes = slice.n_rows * stack.shape[2] * dtype_bytes(stack.dtype);
  return info;
}

class FolderStore final : public TensorStore {
 public:
  FolderStore(StoredFolder folder, std::vector<CanonicalTensor> tensors)
      : folder_(std::move(folder)), tensors_(std::move(tensors)) {
    uint64_t n_slices = 0;
    placed_.reserve(tensors_.size());
    for (size_t i = 0; i < tensors_.size(); ++i) {
      const TensorInfo& info = tensors_[i].info;
      const auto slices = expert_slices(info, kMaxExpertSlices - n_slices);
      n_slices += slices.size();
      if (slices.empty()) placed_.push_back({i, info});
      for (const ExpertSlice& slice : slices) {
        placed_.push_back({i, slice_info(info, slice), slice.first_row, slice.n_rows});
      }
    }
  }

  Status intact() const override {
    for (const Shard& shard : folder_.shards) RETURN_IF_ERROR(shard.file.intact());
    return {};
  }

  Result<std::string> side_file(std::string_view name) const override {
    return read_file(fmt::format("{}/{}", folder_.path, name));
  }

  void release(size_t tensor) const override {
    const Placed& placed = placed_[tensor];
    const CanonicalTensor& read = tensors_[placed.tensor];
    for (const StoredTensor& stored : {read.data, read.scales}) {
      if (stored.entry == nullptr) continue;
      SafetensorsEntry range = *stored.entry;
      if (placed.n_rows != 0) {
        range.offset += placed.first_row * (placed.info.n_bytes / placed.n_rows);
        range.n_bytes = placed.info.n_bytes;
      }
      folder_.shards[stored.shard].file.release(range);
    }
  }

  MatrixSource source(size_t index) const {
    const Placed& placed = placed_[index];
    const MatrixSource whole = whole_source(tensors_[placed.tensor]);
    return placed.n_rows == 0 ? whole : slice_rows(whole, placed.first_row, placed.n_rows);
  }

  const StoredFolder& folder() const { return folder_; }
  const std::vector<Placed>& placed() const { return placed_; }

 private:
  MatrixSource whole_source(const CanonicalTensor& tensor) const {
    const TensorView data = view(tensor.data);
    switch (tensor.info.storage) {
      case Storage::kNvfp4:
        return QuantizedMatrixView{tensor.info.shape[0], tensor.info.shape[1],
                                   as_codes(data.bytes), as_codes(view(tensor.scales).bytes),
                                   tensor.tensor_scale,  tensor.input_scale,
                                   tensor.divisors};
      case Storage::kFp8:
        return Fp8MatrixView{tensor.info.shape[0], tensor.info.shape[1], as_codes(data.bytes),
                             tensor.fp8_scales, tensor.input_scale};
      case Storage::kPlain:
      case Storage::kBlocks:
        break;
    }
    CHECK(tensor.info.storage == Storage::kPlain);  // only GGUF has blocks
    return data;
  }

  TensorView view(const StoredTensor& stored) const {
    return folder_.shards[stored.shard].file.view(*stored.entry);
  }

  StoredFolder folder_;
  std::vector<CanonicalTensor> tensors_;
  std::vector<Placed> placed_;
};

}  // namespace

OpenedCheckpoint open_folder_store(StoredFolder folder, std::string_view dialect,
                                   std::vector<CanonicalTensor> tensors) {
  auto store = std::make_unique<FolderStore>(std::move(folder), std::move(tensors));
  OpenedCheckpoint opened;
  opened.path = store->folder().path;
  opened.dialect = dialect;
  opened.config = store->folder().config;
  opened.tensors.reserve(store->placed().size());
  opened.sources.reserve(store->placed().size());
  for (size_t i = 0; i < store->placed().size(); ++i) {
    opened.tensors.push_back(store->placed()[i].info);
    opened.sources.push_back(store->source(i));
  }
  opened.store = std::move(store);
  return opened;
}

}  // namespace nibble

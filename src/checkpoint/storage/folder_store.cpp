#include "checkpoint/storage/folder_store.h"

#include <fmt/format.h>

#include <utility>

#include "core/file.h"

namespace nibble {
namespace {

std::span<const uint8_t> as_codes(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

class FolderStore final : public TensorStore {
 public:
  FolderStore(StoredFolder folder, std::vector<CanonicalTensor> tensors)
      : folder_(std::move(folder)), tensors_(std::move(tensors)) {}

  Status intact() const override {
    for (const Shard& shard : folder_.shards) RETURN_IF_ERROR(shard.file.intact());
    return {};
  }

  Result<std::string> side_file(std::string_view name) const override {
    return read_file(fmt::format("{}/{}", folder_.path, name));
  }

  void release(size_t tensor) const override {
    for (const StoredTensor& stored : {tensors_[tensor].data, tensors_[tensor].scales}) {
      if (stored.entry == nullptr) continue;
      folder_.shards[stored.shard].file.release(*stored.entry);
    }
  }

  MatrixSource source(size_t index) const {
    const CanonicalTensor& tensor = tensors_[index];
    const TensorView data = view(tensor.data);
    switch (tensor.info.storage) {
      case Storage::kNvfp4:
        return QuantizedMatrixView{tensor.info.shape[0], tensor.info.shape[1],
                                   as_codes(data.bytes), as_codes(view(tensor.scales).bytes),
                                   tensor.tensor_scale,  tensor.input_scale};
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

  const StoredFolder& folder() const { return folder_; }
  const std::vector<CanonicalTensor>& tensors() const { return tensors_; }

 private:
  TensorView view(const StoredTensor& stored) const {
    return folder_.shards[stored.shard].file.view(*stored.entry);
  }

  StoredFolder folder_;
  std::vector<CanonicalTensor> tensors_;
};

}  // namespace

OpenedCheckpoint open_folder_store(StoredFolder folder, std::string_view dialect,
                                   std::vector<CanonicalTensor> tensors) {
  auto store = std::make_unique<FolderStore>(std::move(folder), std::move(tensors));
  OpenedCheckpoint opened;
  opened.path = store->folder().path;
  opened.dialect = dialect;
  opened.config = store->folder().config;
  opened.tensors.reserve(store->tensors().size());
  opened.sources.reserve(store->tensors().size());
  for (size_t i = 0; i < store->tensors().size(); ++i) {
    opened.tensors.push_back(store->tensors()[i].info);
    opened.sources.push_back(store->source(i));
  }
  opened.store = std::move(store);
  return opened;
}

}  // namespace nibble

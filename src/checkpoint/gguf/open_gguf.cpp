#include "checkpoint/gguf/open_gguf.h"

#include <memory>
#include <utility>

#include "checkpoint/gguf/file_set.h"
#include "checkpoint/gguf/model_sizes.h"
#include "checkpoint/gguf/tensors.h"
#include "checkpoint/gguf/tokenizer_files.h"

namespace nibble {
namespace {

// The mapped files, and the small values that were computed from them.
class GgufStore final : public TensorStore {
 public:
  explicit GgufStore(GgufFileSet set) : set_(std::move(set)) {}

  const std::vector<GgufFile>& files() const { return set_.files; }

  void add(GgufCanonicalTensor tensor) {
    values_.push_back(std::move(tensor.values));
    places_.push_back({tensor.file, tensor.bytes});
  }

  Status intact() const override {
    for (const GgufFile& file : set_.files) RETURN_IF_ERROR(file.file().intact());
    return {};
  }

  Result<std::string> side_file(std::string_view name) const override {
    const GgufFile& first = set_.files.front();
    return gguf_side_file(first.header(), name, first.file().path());
  }

  void release(size_t tensor) const override {
    const Place& place = places_[tensor];
    const MappedFile& file = set_.files[place.file].file();
    file.release(static_cast<size_t>(place.bytes.data() - file.bytes().data()), place.bytes.size());
  }

 private:
  struct Place {
    size_t file;
    std::span<const std::byte> bytes;
  };
  GgufFileSet set_;
  std::vector<std::unique_ptr<float[]>> values_;
  std::vector<Place> places_;
};

// All headers together, for what is decided by the tensors of the whole model.
GgufHeader joined_header(const std::vector<GgufFile>& files) {
  GgufHeader joined = files.front().header();
  for (size_t i = 1; i < files.size(); ++i) {
    const auto& more = files[i].header().tensors;
    joined.tensors.insert(joined.tensors.end(), more.begin(), more.end());
  }
  return joined;
}

}  // namespace

Result<OpenedCheckpoint> open_gguf(const std::string& path) {
  ASSIGN_OR_RETURN(GgufFileSet set, open_gguf_files(path));
  auto store = std::make_unique<GgufStore>(std::move(set));
  const std::vector<GgufFile>& files = store->files();
  ASSIGN_OR_RETURN(const GgufModelSizes sizes, read_gguf_model_sizes(files.front().header(), path));
  OpenedCheckpoint opened;
  opened.path = path;
  opened.dialect = "gguf";
  ASSIGN_OR_RETURN(opened.config, gguf_config(joined_header(files), sizes, path));
  ASSIGN_OR_RETURN(std::vector<GgufCanonicalTensor> tensors, read_gguf_tensors(files, sizes));
  opened.tensors.reserve(tensors.size());
  opened.sources.reserve(tensors.size());
  for (GgufCanonicalTensor& tensor : tensors) {
    opened.tensors.push_back(tensor.info);
    opened.sources.push_back(tensor.source);
    store->add(std::move(tensor));
  }
  RETURN_IF_ERROR(store->intact());
  opened.store = std::move(store);
  return opened;
}

}  // namespace nibble

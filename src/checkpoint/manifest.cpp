#include "checkpoint/manifest.h"

#include <fmt/format.h>

#include <map>

#include "checkpoint/writer.h"
#include "core/cancel.h"
#include "core/content_hash.h"
#include "core/file.h"
#include "core/json.h"
#include "formats/safetensors.h"

namespace nibble {
namespace {

constexpr uint64_t kMaxManifestBytes = uint64_t{256} << 20;

class ManifestReader {
 public:
  explicit ManifestReader(std::string folder) : folder_(std::move(folder)) {}

  Status read() {
    const std::string path = folder_ + "/" + std::string(kManifestFileName);
    ASSIGN_OR_RETURN(const std::string text, read_file(path, kMaxManifestBytes));
    ASSIGN_OR_RETURN(const Json manifest, parse_json(text, path));
    const Json rows = manifest.is_object() ? manifest.value("tensors", Json()) : Json();
    if (!rows.is_array()) return bad("has no list \"tensors\"");
    if (manifest.value("hash", Json()) != std::string(kContentHashName)) {
      return Error(ErrorCode::kUnsupported,
                   fmt::format("states other hashes than {}", kContentHashName), path);
    }
    for (const Json& row : rows) RETURN_IF_ERROR(read_row(row));
    return {};
  }

  std::vector<ManifestDifference> take() { return std::move(differences_); }

 private:
  Error bad(std::string message) const {
    return Error(ErrorCode::kCorrupt, std::move(message),
                 folder_ + "/" + std::string(kManifestFileName));
  }

  Status read_row(const Json& row) {
    RETURN_IF_ERROR(check_cancelled());
    const Json file = row.is_object() ? row.value("file", Json()) : Json();
    const Json stored = row.is_object() ? row.value("stored", Json()) : Json();
    if (!file.is_string() || !stored.is_object()) return bad("has a row without file or hashes");
    const auto name = file.get<std::string>();
    if (name.find('/') != std::string::npos) return bad("names a file outside its folder");
    auto opened = shards_.find(name);
    if (opened == shards_.end()) {
      ASSIGN_OR_RETURN(SafetensorsFile shard, SafetensorsFile::open(folder_ + "/" + name));
      opened = shards_.emplace(name, std::move(shard)).first;
    }
    for (const auto& [tensor, hash] : stored.items()) {
      RETURN_IF_ERROR(compare(opened->second, tensor, hash));
    }
    return {};
  }

  Status compare(const SafetensorsFile& shard, const std::string& tensor, const Json& hash) {
    const SafetensorsEntry* entry = shard.header().find(tensor);
    if (entry == nullptr) {
      differences_.push_back({tensor, "is in the manifest, but not in " + shard.path()});
      return {};
    }
    const std::string found = content_hash(shard.view(*entry).bytes);
    RETURN_IF_ERROR(shard.intact());
    shard.release(*entry);
    if (hash == found) return {};
    differences_.push_back(
        {tensor, fmt::format("its bytes hash to {}, the manifest says {}", found, hash.dump())});
    return {};
  }

  std::string folder_;
  std::map<std::string, SafetensorsFile> shards_;
  std::vector<ManifestDifference> differences_;
};

}  // namespace

Result<std::vector<ManifestDifference>> compare_with_manifest(const std::string& folder) {
  ManifestReader reader(folder);
  RETURN_IF_ERROR(reader.read());
  return reader.take();
}

}  // namespace nibble

#include "checkpoint/output/run_identity.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <set>

#include "core/content_hash.h"

namespace nibble {
namespace {

void add_text(ContentHasher& hasher, const std::string& text) {
  hasher.update(std::as_bytes(std::span(text)));
}

std::string config_hash(const Checkpoint& source) {
  const std::string text = dump_json_line(source.config());
  return content_hash(std::as_bytes(std::span(text)));
}

// What the headers say: names, types, shapes and order.
std::string tensors_hash(const Checkpoint& source) {
  ContentHasher hasher;
  for (const TensorInfo& tensor : source.tensors()) {
    add_text(hasher, fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", tensor.stored_name, tensor.shard,
                                 static_cast<int>(tensor.storage), dtype_name(tensor.dtype),
                                 shape_text(tensor.shape), tensor.n_bytes));
  }
  return hasher.hex();
}

std::string plan_hash(const OutputPlan& output) {
  ContentHasher hasher;
  for (const OutputShard& shard : output.shards) {
    add_text(hasher, shard.name + "\n");
    for (const SafetensorsDeclaration& part : shard.declarations) {
      add_text(hasher, fmt::format("{}\t{}\t{}\n", part.name, dtype_name(part.dtype),
                                   shape_text(part.shape)));
    }
  }
  return hasher.hex();
}

Json file_json(const std::string& path) {
  const std::string name = path.substr(path.find_last_of('/') + 1);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return Json{{"name", name}};
  return Json{{"name", name},
              {"size", static_cast<uint64_t>(info.st_size)},
              {"changed_s", static_cast<int64_t>(info.st_mtim.tv_sec)},
              {"changed_ns", static_cast<int64_t>(info.st_mtim.tv_nsec)}};
}

}  // namespace

Json run_identity(const Checkpoint& source, const OutputPlan& output,
                  const WriterOptions& options) {
  std::set<std::string> paths;
  for (const TensorInfo& tensor : source.tensors()) paths.insert(source.file_path(tensor));
  Json files = Json::array();
  for (const std::string& path : paths) files.push_back(file_json(path));
  return Json{{"command", options.command},           {"dialect", options.dialect},
              {"source_config", config_hash(source)}, {"source_tensors", tensors_hash(source)},
              {"output_plan", plan_hash(output)},     {"source_files", std::move(files)}};
}

}  // namespace nibble

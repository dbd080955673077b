#include <fmt/format.h>

#include <array>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "checkpoint/dialects/dialect.h"
#include "checkpoint/gguf/file_set.h"
#include "checkpoint/gguf/open_gguf.h"
#include "checkpoint/storage/canonical_name.h"
#include "checkpoint/storage/checkpoint_impl.h"
#include "checkpoint/storage/folder_store.h"
#include "checkpoint/storage/problem_list.h"

namespace nibble {
namespace {

constexpr std::array<const Dialect*, 4> kDialects = {
    &kCompressedTensorsDialect,
    &kModelOptDialect,
    &kAutoRoundDialect,
    &kPlainHfDialect,
};

// Names the tool of a description that no dialect knows.
Error unknown_description(const StoredFolder& folder) {
  const auto method = folder.description.find("quant_method");
  const std::string name = method != folder.description.end() && method->is_string()
                               ? method->get<std::string>()
                               : std::string("(none)");
  return Error(
      ErrorCode::kUnsupported,
      fmt::format("is quantized with the method \"{:.80}\", which nibble does not read; {}", name,
                  supported_storage_text()),
      folder.path);
}

Status name_tensors(Checkpoint::Impl& impl) {
  ProblemList twice;
  std::vector<TensorInfo>& tensors = impl.opened.tensors;
  for (TensorInfo& tensor : tensors) {
    if (tensor.name.empty()) tensor.name = std::string(canonical_name(tensor.stored_name));
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto [at, is_new] = impl.by_name.emplace(tensors[i].name, i);
    if (is_new) continue;
    twice.add(fmt::format("{} and {} (both are {})", tensors[at->second].stored_name,
                          tensors[i].stored_name, tensors[i].name));
  }
  if (twice.empty()) return {};
  return Error(ErrorCode::kCorrupt,
               fmt::format("holds {} tensors twice under different prefixes: {}", twice.size(),
                           twice.text()),
               impl.opened.path);
}

Result<OpenedCheckpoint> open_path(const std::string& path) {
  ASSIGN_OR_RETURN(const auto gguf_file, find_gguf_file(path));
  if (gguf_file) return open_gguf(*gguf_file);
  ASSIGN_OR_RETURN(StoredFolder folder, open_stored_folder(path));
  for (const Dialect* dialect : kDialects) {
    if (!dialect->recognises(folder)) continue;
    ASSIGN_OR_RETURN(std::vector<CanonicalTensor> read, dialect->read(folder));
    return open_folder_store(std::move(folder), dialect->name, std::move(read));
  }
  return unknown_description(folder);
}

}  // namespace

std::span<const Dialect* const> dialects() { return kDialects; }

std::string supported_storage_text() {
  return "supported are safetensors in BF16, F16 or F32; compressed-tensors with "
         "nvfp4-pack-quantized or float-quantized weights (FP8 with one scale or one per row); "
         "ModelOpt with NVFP4, W4A16_NVFP4, FP8, FP8_PER_CHANNEL_PER_TOKEN or a mix of them; and "
         "AutoRound's NVFP4";
}

CanonicalTensor plain_tensor(const StoredFolder& folder, StoredTensor stored) {
  CanonicalTensor tensor;
  tensor.info.stored_name = stored.entry->name;
  tensor.info.shard = folder.shards[stored.shard].name;
  tensor.info.dtype = stored.entry->dtype;
  tensor.info.shape = stored.entry->shape;
  tensor.info.n_bytes = stored.entry->n_bytes;
  tensor.data = stored;
  return tensor;
}

Result<std::shared_ptr<const Checkpoint>> Checkpoint::open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  ASSIGN_OR_RETURN(impl->opened, open_path(path));
  RETURN_IF_ERROR(name_tensors(*impl));
  return std::shared_ptr<const Checkpoint>(std::make_shared<Checkpoint>(std::move(impl)));
}

}  // namespace nibble

// Plain Hugging Face checkpoints: every tensor as it is, BF16, F16 or F32.
#include <fmt/format.h>

#include <array>
#include <utility>

#include "checkpoint/dialects/dialect.h"
#include "checkpoint/storage/problem_list.h"

namespace nibble {
namespace {

// Endings that only quantized checkpoints have. Such a folder without a description would be read
// as nonsense.
constexpr std::array<std::string_view, 9> kQuantizedEndings = {
    ".weight_packed",       ".weight_scale",     ".weight_scale_2",
    ".weight_global_scale", ".qweight",          ".qzeros",
    ".quant_state",         ".weight_scale_inv", ".absmax"};

bool recognises(const StoredFolder& folder) { return folder.place == DescriptionPlace::kNone; }

bool is_quantized_part(const SafetensorsEntry& entry) {
  for (const std::string_view ending : kQuantizedEndings) {
    if (entry.name.ends_with(ending)) return true;
  }
  return entry.name.ends_with(".weight") &&
         (dtype_bytes(entry.dtype) == 1 || !is_floating(entry.dtype));
}

Result<std::vector<CanonicalTensor>> read(const StoredFolder& folder) {
  std::vector<CanonicalTensor> tensors;
  ProblemList quantized;
  for (size_t s = 0; s < folder.shards.size(); ++s) {
    for (const SafetensorsEntry& entry : folder.shards[s].file.header().entries) {
      if (is_quantized_part(entry)) {
        quantized.add(fmt::format("{} ({})", entry.name, dtype_name(entry.dtype)));
      }
      tensors.push_back(plain_tensor(folder, {s, &entry}));
    }
  }
  if (!quantized.empty()) {
    return Error(ErrorCode::kUnsupported,
                 fmt::format("its config.json describes no quantization, but {} tensors are stored "
                             "quantized: {}; {}",
                             quantized.size(), quantized.text(), supported_storage_text()),
                 folder.path);
  }
  return tensors;
}

}  // namespace

const Dialect kPlainHfDialect = {"hf", recognises, read};

}  // namespace nibble

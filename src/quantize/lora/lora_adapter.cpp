#include "quantize/lora/lora_adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>

#include "core/bytes.h"
#include "core/content_hash.h"
#include "core/file.h"
#include "numbers/bf16.h"
#include "quantize/lora/adapter_config.h"

namespace nibble {
namespace {

constexpr size_t kListedNames = 8;
constexpr size_t kGrainElements = size_t{1} << 14;

// What one tensor of the adapter is for its module.
enum class Part { kA, kB, kEmbeddingA, kEmbeddingB, kWhole };

struct PartName {
  std::string module;
  Part part = Part::kWhole;
};

// "base_model.model.M.lora_A.weight" and its siblings; with the adapter's name where an older
// version wrote it ("lora_A.default.weight").
PartName split_name(std::string_view name) {
  constexpr std::string_view kPrefix = "base_model.model.";
  if (name.starts_with(kPrefix)) name.remove_prefix(kPrefix.size());
  struct Marker {
    std::string_view text;
    Part part;
  };
  static constexpr std::array<Marker, 4> kMarkers = {{{".lora_A", Part::kA},
                                                      {".lora_B", Part::kB},
                                                      {".lora_embedding_A", Part::kEmbeddingA},
                                                      {".lora_embedding_B", Part::kEmbeddingB}}};
  for (const Marker& marker : kMarkers) {
    const size_t at = name.find(marker.text);
    if (at == std::string_view::npos) continue;
    const std::string_view rest = name.substr(at + marker.text.size());
    if (!rest.empty() && rest.front() != '.') continue;
    return {std::string(name.substr(0, at)), marker.part};
  }
  constexpr std::string_view kWeight = ".weight";
  if (name.ends_with(kWeight)) name.remove_suffix(kWeight.size());
  const size_t saved = name.find(".modules_to_save.");
  if (saved != std::string_view::npos) name = name.substr(0, saved);
  return {std::string(name), Part::kWhole};
}

// The source's tensor that a module path means, whichever wrappers the trained model had.
const TensorInfo* find_weight(const Checkpoint& source, const std::string& module) {
  for (const TensorInfo& tensor : source.tensors()) {
    if (tensor.stored_name == module + ".weight") return &tensor;
  }
  for (const std::string_view wrapper :
       {"", "model.language_model.", "language_model.model.", "language_model.", "model."}) {
    if (!module.starts_with(wrapper)) continue;
    const TensorInfo* found = source.find(module.substr(wrapper.size()) + ".weight");
    if (found != nullptr) return found;
  }
  return nullptr;
}

Result<std::vector<float>> values_of(const TensorView& view) {
  std::vector<float> values(view.bytes.size() / dtype_bytes(view.dtype));
  RETURN_IF_ERROR(to_f32(view, values));
  return values;
}

// Rounds to one of the types that is_mergeable() names.
void store(DType dtype, std::span<const float> values, std::byte* out) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kBF16) {
      store_le<uint16_t>(out + 2 * i, f32_to_bf16(values[i]));
    } else if (dtype == DType::kF16) {
      store_le<uint16_t>(out + 2 * i, f32_to_f16(values[i]));
    } else {
      store_le<float>(out + 4 * i, values[i]);
    }
  }
}

// [rows, n / rows] -> [n / rows, rows]
std::vector<float> transposed(const std::vector<float>& matrix, size_t rows) {
  std::vector<float> out(matrix.size());
  const size_t cols = matrix.size() / rows;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < cols; ++c) out[c * rows + r] = matrix[r * cols + c];
  }
  return out;
}

bool is_mergeable(DType dtype) {
  return dtype == DType::kBF16 || dtype == DType::kF16 || dtype == DType::kF32;
}

}  // namespace

struct LoraAdapter::Settings {
  LoraConfig config;
  std::string subject;
};

Result<std::shared_ptr<const LoraAdapter>> LoraAdapter::open(const std::string& folder,
                                                             const Checkpoint& source) {
  const std::string config_path = folder + "/adapter_config.json";
  const std::string weights_path = folder + "/adapter_model.safetensors";
  ASSIGN_OR_RETURN(const std::string text, read_file(config_path, uint64_t{16} << 20));
  ASSIGN_OR_RETURN(const Json json, parse_json(text, config_path));
  ASSIGN_OR_RETURN(LoraConfig config, parse_lora_config(json, config_path));
  ASSIGN_OR_RETURN(TensorFile file, TensorFile::open(weights_path));
  auto adapter = std::shared_ptr<LoraAdapter>(new LoraAdapter(std::move(file)));
  ContentHasher hasher;
  hasher.update(std::as_bytes(std::span(text)));
  for (const std::string& name : adapter->file_.names()) {
    const TensorView view = *adapter->file_.find(name);
    const std::string head =
        fmt::format("{}\t{}\t{}\n", name, dtype_name(view.dtype), shape_text(view.shape));
    hasher.update(std::as_bytes(std::span(head)));
    hasher.update(view.bytes);
  }
  adapter->hash_ = hasher.hex();
  RETURN_IF_ERROR(adapter->file_.intact());
  RETURN_IF_ERROR(adapter->bind({std::move(config), weights_path}, source));
  return std::shared_ptr<const LoraAdapter>(std::move(adapter));
}

std::map<std::string, LoraAdapter::Parts> LoraAdapter::modules() const {
  std::map<std::string, Parts> modules;
  for (const std::string& name : file_.names()) {
    const PartName split = split_name(name);
    Parts& parts = modules[split.module];
    const bool is_a = split.part == Part::kA || split.part == Part::kEmbeddingA;
    const bool is_whole = split.part == Part::kWhole;
    (is_whole ? parts.whole : is_a ? parts.a : parts.b) = file_.find(name);
    parts.embedding |= split.part == Part::kEmbeddingA || split.part == Part::kEmbeddingB;
  }
  return modules;
}

Status LoraAdapter::bind_module(const Settings& settings, const std::string& module,
                                const Parts& parts, const TensorInfo& tensor) {
  const LoraConfig& config = settings.config;
  ASSIGN_OR_RETURN(const double rank,
                   pattern_value(config.rank_pattern, module, static_cast<double>(config.rank)));
  ASSIGN_OR_RETURN(const double alpha, pattern_value(config.alpha_pattern, module, config.alpha));
  Change change;
  change.embedding = parts.embedding;
  change.scale = static_cast<float>(alpha / (config.rank_stabilised ? std::sqrt(rank) : rank));
  if (parts.whole) {
    change.whole = *parts.whole;
  } else {
    change.a = *parts.a;
    change.b = *parts.b;
  }
  RETURN_IF_ERROR(check_shapes(change, tensor, static_cast<uint64_t>(rank)));
  if (changes_.emplace(&tensor, std::move(change)).second) return {};
  return Error(ErrorCode::kMismatch, fmt::format("changes {} twice", tensor.stored_name),
               settings.subject);
}

Status LoraAdapter::bind(const Settings& settings, const Checkpoint& source) {
  const std::map<std::string, Parts> found = modules();
  if (found.empty()) return Error(ErrorCode::kMismatch, "holds no tensors", settings.subject);
  std::vector<std::string> homeless;
  for (const auto& [module, parts] : found) {
    const TensorInfo* tensor = find_weight(source, module);
    const bool complete = parts.whole ? !parts.a && !parts.b : parts.a && parts.b;
    if (tensor == nullptr || !complete) {
      homeless.push_back(module);
    } else {
      RETURN_IF_ERROR(bind_module(settings, module, parts, *tensor));
    }
  }
  if (homeless.empty()) return {};
  const size_t n_all = homeless.size();
  if (n_all > kListedNames) {
    homeless.resize(kListedNames);
    homeless.emplace_back("...");
  }
  return Error(ErrorCode::kMismatch,
               fmt::format("{} of its {} modules belong to no weight of {}, or lack one of their "
                           "two matrices: {}. Is this the adapter's base model?",
                           n_all, found.size(), source.folder(), fmt::join(homeless, ", ")),
               settings.subject);
}

Status LoraAdapter::check_shapes(const Change& change, const TensorInfo& tensor, uint64_t rank) {
  const auto mismatch = [&](const std::string& text) {
    return Error(ErrorCode::kMismatch, text, tensor.stored_name);
  };
  if (tensor.storage != Storage::kPlain || !is_mergeable(tensor.dtype)) {
    return mismatch("an adapter can be merged into BF16, F16 and F32 weights only");
  }
  if (!change.whole.bytes.empty()) {
    if (change.whole.shape == tensor.shape && is_floating(change.whole.dtype)) return {};
    return mismatch(fmt::format("has the shape {}, the adapter's own weight has {}",
                                shape_text(tensor.shape), shape_text(change.whole.shape)));
  }
  if (!is_floating(change.a.dtype) || !is_floating(change.b.dtype)) {
    return mismatch("the adapter's matrices are not floating-point");
  }
  if (tensor.shape.size() != 2)
    return mismatch("is not a matrix, but the adapter holds one for it");
  const uint64_t rows = change.embedding ? tensor.shape[1] : tensor.shape[0];
  const uint64_t cols = change.embedding ? tensor.shape[0] : tensor.shape[1];
  if (change.a.shape == Shape{rank, cols} && change.b.shape == Shape{rows, rank}) return {};
  return mismatch(fmt::format(
      "has the shape {}, to which an adapter of rank {} with the matrices A "
      "{} and B {} does not fit",
      shape_text(tensor.shape), rank, shape_text(change.a.shape), shape_text(change.b.shape)));
}

Result<LoraAdapter::Factors> LoraAdapter::factors_of(const Change& change) {
  Factors factors;
  if (!change.whole.bytes.empty()) return factors;
  factors.rank = change.a.shape[0];
  ASSIGN_OR_RETURN(std::vector<float> a, values_of(change.a));
  ASSIGN_OR_RETURN(std::vector<float> b, values_of(change.b));
  if (change.embedding) {
    factors.left = transposed(a, factors.rank);
    factors.right = transposed(b, b.size() / factors.rank);
  } else {
    factors.left = std::move(b);
    factors.right = std::move(a);
  }
  return factors;
}

void LoraAdapter::merge_row(const Factors& factors, float scale, size_t r, std::span<float> values,
                            std::span<float> sums) {
  if (factors.rank == 0) return;
  std::fill(sums.begin(), sums.end(), 0.0f);
  for (size_t k = 0; k < factors.rank; ++k) {
    const float factor = factors.left[r * factors.rank + k];
    const float* line = factors.right.data() + k * sums.size();
    for (size_t c = 0; c < sums.size(); ++c) sums[c] += factor * line[c];
  }
  for (size_t c = 0; c < values.size(); ++c) values[c] += scale * sums[c];
}

Result<Tensor> LoraAdapter::merged(const Checkpoint& source, const TensorInfo& tensor,
                                   ThreadPool& pool) const {
  const Change& change = changes_.at(&tensor);
  ASSIGN_OR_RETURN(const Factors factors, factors_of(change));
  ASSIGN_OR_RETURN(Tensor out, Tensor::zeros(tensor.dtype, tensor.shape));
  const TensorView taken = change.whole.bytes.empty() ? source.plain(tensor) : change.whole;
  const size_t rows = tensor.shape.empty() ? 1 : tensor.shape[0];
  const size_t cols = rows == 0 ? 0 : taken.bytes.size() / dtype_bytes(taken.dtype) / rows;
  const size_t row_bytes = cols * dtype_bytes(taken.dtype);
  const size_t out_row_bytes = cols * dtype_bytes(tensor.dtype);
  const size_t grain = std::max<size_t>(1, kGrainElements / std::max<size_t>(1, cols));
  pool.parallel_for(rows, grain, [&](size_t begin, size_t end) {
    std::vector<float> values(cols);
    std::vector<float> sums(cols);
    for (size_t r = begin; r < end; ++r) {
      const TensorView row{taken.dtype, {cols}, taken.bytes.subspan(r * row_bytes, row_bytes)};
      CHECK(to_f32(row, values).has_value());
      merge_row(factors, change.scale, r, values, sums);
      store(tensor.dtype, values, out.bytes().data() + r * out_row_bytes);
    }
  });
  RETURN_IF_ERROR(file_.intact());
  RETURN_IF_ERROR(source.intact());
  return out;
}

}  // namespace nibble

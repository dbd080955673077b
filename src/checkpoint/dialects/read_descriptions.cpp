#include "checkpoint/dialects/read_descriptions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "checkpoint/dialects/dialect.h"
#include "checkpoint/storage/problem_list.h"

namespace nibble {
namespace {

constexpr std::string_view kNvfp4Packing = "nvfp4-pack-quantized";
constexpr std::array<std::string_view, 2> kFp8Packings = {"float-quantized", "naive-quantized"};

std::string text_field(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

// A field's JSON, or nothing where it is absent or null.
const Json* find_field(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

std::string field_text(const Json& object, const char* key, const char* absent) {
  const Json* field = find_field(object, key);
  return field == nullptr ? std::string(absent) : fmt::format("{:.40}", field->dump());
}

bool has_content(const Json& object, const char* key) {
  const Json* field = find_field(object, key);
  return field != nullptr && (field->is_object() || field->is_array()) && !field->empty();
}

Error unsupported(std::string_view tool, const std::string& what, const std::string& subject) {
  return Error(ErrorCode::kUnsupported,
               fmt::format("is {} checkpoint with {}; {}", tool, what, supported_storage_text()),
               subject);
}

constexpr std::string_view kCompressedTensors = "a compressed-tensors";
constexpr std::string_view kModelOpt = "a ModelOpt";
constexpr std::string_view kAutoRound = "an AutoRound";

bool is_packing(std::string_view name) {
  return name == kNvfp4Packing || name == "mixed-precision" ||
         std::find(kFp8Packings.begin(), kFp8Packings.end(), name) != kFp8Packings.end();
}

// A group's weights in words: "8-bit float weights, strategy block, group size none".
std::string weights_text(const Json& weights) {
  return fmt::format("{}-bit {} weights, strategy {}, group size {}",
                     field_text(weights, "num_bits", "?"), text_field(weights, "type"),
                     text_field(weights, "strategy"), field_text(weights, "group_size", "none"));
}

bool is_readable(const Json& weights) {
  const Json* bits = find_field(weights, "num_bits");
  const Json* size = find_field(weights, "group_size");
  const std::string strategy = text_field(weights, "strategy");
  if (bits == nullptr || text_field(weights, "type") != "float") return false;
  if (*bits == 8) return strategy == "tensor" || strategy == "channel";
  return *bits == 4 && size != nullptr && *size == 16 &&
         (strategy == "tensor_group" || strategy == "group");
}

Status check_group(const std::string& name, const Json& group, const std::string& subject) {
  const Json* weights = group.is_object() ? find_field(group, "weights") : nullptr;
  // Groups without weights describe the KV cache or activations only.
  if (weights == nullptr || !weights->is_object()) return {};
  const std::string packing = text_field(group, "format");
  if (!packing.empty() && !is_packing(packing)) {
    return unsupported(kCompressedTensors,
                       fmt::format("the format \"{:.80}\" in group {:.80}", packing, name),
                       subject);
  }
  if (is_readable(*weights)) return {};
  return unsupported(kCompressedTensors,
                     fmt::format("{:.200} in group {:.80}", weights_text(*weights), name), subject);
}

constexpr std::array<std::string_view, 4> kAlgorithms = {"NVFP4", "W4A16_NVFP4", "FP8",
                                                         "FP8_PER_CHANNEL_PER_TOKEN"};

bool is_algorithm(std::string_view name) {
  return std::find(kAlgorithms.begin(), kAlgorithms.end(), name) != kAlgorithms.end();
}

Status check_group_size(const Json& object, const std::string& subject) {
  const Json* size = find_field(object, "group_size");
  if (size == nullptr || *size == 16) return {};
  return unsupported(kModelOpt,
                     fmt::format("blocks of {:.40} elements instead of 16", size->dump()), subject);
}

// Every layer of a mixed description; all algorithms that cannot be read are told together.
Status check_quantized_layers(const Json& layers, const std::string& subject) {
  ProblemList other;
  for (const auto& [name, layer] : layers.items()) {
    if (!layer.is_object()) continue;
    const std::string algorithm = text_field(layer, "quant_algo");
    if (!is_algorithm(algorithm)) {
      other.add(fmt::format("{:.60} in {:.120}", algorithm.empty() ? "none" : algorithm, name));
      continue;
    }
    RETURN_IF_ERROR(check_group_size(layer, subject));
  }
  if (other.empty()) return {};
  return unsupported(kModelOpt,
                     fmt::format("MIXED_PRECISION and {} layers of other algorithms: {}",
                                 other.size(), other.text()),
                     subject);
}

// Groups of a ModelOpt description that state a block size.
Status check_modelopt_groups(const Json& description, const std::string& subject) {
  const Json* groups = find_field(description, "config_groups");
  if (groups == nullptr || !groups->is_object()) return {};
  for (const auto& [group_name, group] : groups->items()) {
    const Json* weights = group.is_object() ? find_field(group, "weights") : nullptr;
    if (weights == nullptr || !weights->is_object()) continue;
    RETURN_IF_ERROR(check_group_size(*weights, subject));
  }
  return {};
}

}  // namespace

Status check_compressed_tensors_description(const Json& description, const std::string& subject) {
  const std::string packing = text_field(description, "format");
  if (!packing.empty() && packing != "dense" && !is_packing(packing)) {
    return unsupported(kCompressedTensors, fmt::format("the format \"{:.80}\"", packing), subject);
  }
  if (has_content(description, "transform_config")) {
    return unsupported(kCompressedTensors, "transforms of its weights (transform_config)", subject);
  }
  if (const Json* sparsity = find_field(description, "sparsity_config");
      sparsity != nullptr && sparsity->is_object()) {
    const std::string kind = text_field(*sparsity, "format");
    if (!kind.empty() && kind != "dense") {
      return unsupported(kCompressedTensors, fmt::format("sparse weights (\"{:.80}\")", kind),
                         subject);
    }
  }
  const Json* groups = find_field(description, "config_groups");
  const bool has_groups = groups != nullptr && groups->is_object() && !groups->empty();
  if (!has_groups) {
    // Only the key/value cache may be quantized.
    if (has_content(description, "kv_cache_scheme")) return {};
    return Error(ErrorCode::kCorrupt, "its quantization_config has no config_groups", subject);
  }
  for (const auto& [name, group] : groups->items()) {
    RETURN_IF_ERROR(check_group(name, group, subject));
  }
  return {};
}

const Json& modelopt_algorithm_object(const Json& description) {
  const auto inner = description.find("quantization");
  return inner != description.end() && inner->is_object() ? *inner : description;
}

Status check_modelopt_description(const Json& description, const std::string& subject) {
  const Json& object = modelopt_algorithm_object(description);
  const std::string name = text_field(object, "quant_algo");
  if (name.empty()) {
    return Error(ErrorCode::kCorrupt, "its ModelOpt description has no quant_algo", subject);
  }
  if (name == "MIXED_PRECISION") {
    const Json* layers = find_field(object, "quantized_layers");
    if (layers == nullptr || !layers->is_object()) return {};  // the tensors tell
    return check_quantized_layers(*layers, subject);
  }
  if (!is_algorithm(name)) {
    return unsupported(kModelOpt, fmt::format("the algorithm {:.80}", name), subject);
  }
  RETURN_IF_ERROR(check_group_size(object, subject));
  return check_modelopt_groups(description, subject);
}

Status check_auto_round_description(const Json& description, const std::string& subject) {
  const std::string packing = text_field(description, "packing_format");
  if (packing != "auto_round:llm_compressor") {
    return unsupported(kAutoRound,
                       fmt::format("the packing \"{:.80}\"", packing.empty() ? "none" : packing),
                       subject);
  }
  const std::string type = text_field(description, "data_type");
  const Json* bits = find_field(description, "bits");
  const Json* size = find_field(description, "group_size");
  if (type == "nv_fp" && bits != nullptr && *bits == 4 && size != nullptr && *size == 16) return {};
  return unsupported(kAutoRound,
                     fmt::format("{}-bit weights of the type \"{:.80}\", group size {}",
                                 field_text(description, "bits", "?"), type,
                                 field_text(description, "group_size", "none")),
                     subject);
}

}  // namespace nibble

#include "checkpoint/output/stored_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "checkpoint/gguf_output/model_fields.h"
#include "core/bytes.h"
#include "numbers/bf16.h"

namespace nibble {
namespace {

constexpr std::string_view kGguf = "gguf";
constexpr std::string_view kLogEnding = ".A_log";
// The logarithm of a stored -exp(x) may miss x by the rounding of both functions.
constexpr float kLogTolerance = 0x1p-21f;
constexpr uint64_t kMaxSmallValues = uint64_t{1} << 24;

bool is_gguf(const Checkpoint& source) { return source.dialect() == kGguf; }

bool is_nvfp4_storage(const TensorInfo& tensor) {
  return tensor.storage == Storage::kNvfp4 ||
         (tensor.storage == Storage::kBlocks && tensor.block_kind == BlockKind::kNvfp4);
}

std::string text_folder_name(const std::string& canonical) {
  const bool at_top = canonical.starts_with("lm_head.") || canonical.starts_with("mtp.");
  return at_top ? canonical : "model." + canonical;
}

// Whether all values are those of BF16 numbers, as they were before a writer widened them.
Result<bool> fits_bf16(const Checkpoint& source, const TensorInfo& tensor) {
  const uint64_t n = n_elements(tensor.shape).value_or(0);
  if (n > kMaxSmallValues || tensor.shape.empty()) return false;
  std::vector<float> values(n);
  RETURN_IF_ERROR(source.read_rows_f32(tensor, 0, tensor.shape[0], values));
  const float tolerance = tensor.name.ends_with(kLogEnding) ? kLogTolerance : 0.0f;
  return std::all_of(values.begin(), values.end(), [&](float value) {
    const float rounded = bf16_to_f32(f32_to_bf16(value));
    return std::abs(rounded - value) <= tolerance * std::abs(value);
  });
}

GgufType element_type_of(DType dtype) {
  if (dtype == DType::kBF16) return GgufType::kBF16;
  return dtype == DType::kF16 ? GgufType::kF16 : GgufType::kF32;
}

}  // namespace

std::optional<float> stored_input_scale(const Checkpoint& source, const TensorInfo& tensor) {
  const MatrixSource matrix = source.matrix(tensor);
  if (const auto* nvfp4 = std::get_if<QuantizedMatrixView>(&matrix)) return nvfp4->input_scale;
  if (const auto* blocks = std::get_if<BlockMatrixView>(&matrix)) return blocks->input_scale;
  if (const auto* fp8 = std::get_if<Fp8MatrixView>(&matrix)) return fp8->input_scale;
  return std::nullopt;
}

bool is_converted(const Checkpoint& source, const PlannedTensor& planned) {
  const TensorInfo& tensor = *planned.source;
  if (planned.target == WeightTarget::kDecode)
    return tensor.storage != Storage::kPlain || is_gguf(source);
  return is_gguf(source) && tensor.storage == Storage::kPlain;
}

Result<StoredForm> stored_form(const Checkpoint& source, const PlannedTensor& planned) {
  const TensorInfo& tensor = *planned.source;
  StoredForm form{tensor.stored_name, tensor.dtype, tensor.shape};
  if (is_gguf(source)) form.name = text_folder_name(tensor.name);
  if (tensor.storage != Storage::kPlain) {
    const bool is_kept = planned.target == WeightTarget::kKeep;
    if (is_kept && tensor.storage == Storage::kBlocks && !is_nvfp4_storage(tensor)) {
      return Error(ErrorCode::kUnsupported,
                   fmt::format("is stored as {}, which only GGUF files hold; give --dequantize to "
                               "store it as BF16",
                               storage_name(tensor)),
                   tensor.name);
    }
    form.dtype = DType::kBF16;
    return form;
  }
  if (is_gguf(source) && tensor.dtype == DType::kF32) {
    ASSIGN_OR_RETURN(const bool fits, fits_bf16(source, tensor));
    if (fits) form.dtype = DType::kBF16;
  }
  return form;
}

Result<HeadArrangement> folder_arrangement(const Checkpoint& source) {
  if (!is_gguf(source)) return HeadArrangement{};
  ASSIGN_OR_RETURN(const GgufModelShape shape,
                   read_gguf_model_shape(source.config(), source.folder()));
  return HeadArrangement{shape.heads, shape.source_order, ValueHeadOrder::kGrouped};
}

Status write_converted(const Checkpoint& source, const PlannedTensor& planned,
                       const StoredForm& form, const ByteSink& sink) {
  ASSIGN_OR_RETURN(const HeadArrangement arrangement, folder_arrangement(source));
  ASSIGN_OR_RETURN(const ArrangedMatrix arranged,
                   arrange_matrix(source, *planned.source, arrangement));
  return encode_elements(arranged.source, 0, matrix_rows(arranged.source),
                         element_type_of(form.dtype), ValueChange::kNone, sink);
}

Result<ArrangedMatrix> grouped_matrix(const Checkpoint& source, const TensorInfo& tensor) {
  ASSIGN_OR_RETURN(const HeadArrangement arrangement, folder_arrangement(source));
  ASSIGN_OR_RETURN(ArrangedMatrix arranged, arrange_matrix(source, tensor, arrangement));
  const auto* blocks = std::get_if<BlockMatrixView>(&arranged.source);
  if (blocks != nullptr && blocks->kind == BlockKind::kNvfp4) {
    arranged.canonical = canonical_nvfp4(*blocks);
    arranged.source = arranged.canonical.view();
  }
  return arranged;
}

Json folder_config(const Checkpoint& source) {
  const Json& config = source.config();
  const auto text = config.find("text_config");
  if (!is_gguf(source) || text == config.end() || !text->is_object()) return config;
  const bool is_mixture = text->contains("num_experts");
  Json flat = Json::object();
  flat["architectures"] =
      Json::array({is_mixture ? "Qwen3_5MoeForCausalLM" : "Qwen3_5ForCausalLM"});
  for (const auto& [key, value] : config.items()) {
    if (key != "architectures" && key != "text_config" && key != "model_type") flat[key] = value;
  }
  for (const auto& [key, value] : text->items()) {
    if (key != kValueHeadOrderField) flat[key] = value;
  }
  return flat;
}

}  // namespace nibble

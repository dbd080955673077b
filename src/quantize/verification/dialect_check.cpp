#include "quantize/verification/dialect_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <tuple>
#include <variant>

#include "model/config.h"
#include "numbers/bf16.h"
#include "quantize/verification/problem_kinds.h"
#include "tensor/matrix_source.h"

namespace nibble {
namespace {

constexpr float kChangedValueTolerance = 0x1p-20f;
constexpr uint64_t kPieceValues = uint64_t{1} << 20;

bool same_bytes(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

bool are_neighbours(float a, float b) { return a == b || std::nextafter(a, b) == b; }

// The value as elements of that type hold it.
float rounded(float value, DType dtype) {
  if (dtype == DType::kBF16) return bf16_to_f32(f32_to_bf16(value));
  return dtype == DType::kF16 ? f16_to_f32(f32_to_f16(value)) : value;
}

// Decodes both piece by piece; `agree(ours, theirs)` says whether two values do.
template <typename Agree>
Result<bool> all_values(const MatrixSource& ours, const MatrixSource& theirs, Agree agree) {
  const uint64_t rows = matrix_rows(ours);
  const uint64_t cols = matrix_cols(ours);
  const uint64_t rows_a_piece = std::max<uint64_t>(1, kPieceValues / std::max<uint64_t>(cols, 1));
  std::vector<float> mine;
  std::vector<float> original;
  for (uint64_t row = 0; row < rows; row += rows_a_piece) {
    const uint64_t n = std::min(rows_a_piece, rows - row);
    mine.resize(n * cols);
    original.resize(n * cols);
    RETURN_IF_ERROR(decode_rows(ours, row, n, mine));
    RETURN_IF_ERROR(decode_rows(theirs, row, n, original));
    if (!std::equal(mine.begin(), mine.end(), original.begin(), agree)) return false;
  }
  return true;
}

Result<bool> same_nvfp4(const QuantizedMatrixView& ours, const QuantizedMatrixView& theirs,
                        bool between_dialects) {
  if (!same_bytes(ours.codes, theirs.codes)) return false;
  if (same_bytes(ours.scales, theirs.scales)) {
    return ours.tensor_scale == theirs.tensor_scale ||
           (between_dialects && are_neighbours(ours.tensor_scale, theirs.tensor_scale));
  }
  if (!between_dialects) return false;
  return all_values(ours, theirs, [](float a, float b) { return a == b; });
}

bool same_fp8(const Fp8MatrixView& ours, const Fp8MatrixView& theirs) {
  return same_bytes(ours.codes, theirs.codes) &&
         std::equal(ours.scales.begin(), ours.scales.end(), theirs.scales.begin(),
                    theirs.scales.end());
}

}  // namespace

bool is_gguf_dialect(const Checkpoint& checkpoint) { return checkpoint.dialect() == "gguf"; }

Result<Agreement> compare_across(const MatrixSource& ours, const MatrixSource& theirs,
                                 bool between_dialects, bool is_vector_of_gguf) {
  const auto verdict = [](bool same) { return same ? Agreement::kSame : Agreement::kDiffers; };
  const auto* plain = std::get_if<TensorView>(&ours);
  if (plain == nullptr && std::holds_alternative<TensorView>(theirs)) return Agreement::kQuantized;
  const auto* nvfp4 = std::get_if<QuantizedMatrixView>(&ours);
  const auto* original = std::get_if<QuantizedMatrixView>(&theirs);
  if (nvfp4 != nullptr && original != nullptr) {
    ASSIGN_OR_RETURN(const bool same, same_nvfp4(*nvfp4, *original, between_dialects));
    return verdict(same);
  }
  const auto* fp8 = std::get_if<Fp8MatrixView>(&ours);
  const auto* original_fp8 = std::get_if<Fp8MatrixView>(&theirs);
  if (fp8 != nullptr && original_fp8 != nullptr) return verdict(same_fp8(*fp8, *original_fp8));
  if (plain == nullptr) {
    ASSIGN_OR_RETURN(const bool same,
                     all_values(ours, theirs, [](float a, float b) { return a == b; }));
    return verdict(same);
  }
  const float tolerance = is_vector_of_gguf ? kChangedValueTolerance : 0.0f;
  const DType dtype = plain->dtype;
  ASSIGN_OR_RETURN(const bool same, all_values(ours, theirs, [&](float mine, float value) {
                     return mine == rounded(value, dtype) || std::abs(mine - value) <= tolerance;
                   }));
  return verdict(same);
}

void check_model_settings(const Json& source, const Json& config,
                          std::vector<VerifyProblem>& problems) {
  const Result<ModelConfig> parsed = parse_model_config(config, "config.json");
  const Result<ModelConfig> wanted = parse_model_config(source, "config.json");
  if (!parsed || !wanted) return;
  const ModelConfig& a = *parsed;
  const ModelConfig& b = *wanted;
  const std::tuple<const char*, double, double> numbers[] = {
      {"hidden_size", static_cast<double>(a.hidden_size), static_cast<double>(b.hidden_size)},
      {"num_hidden_layers", static_cast<double>(a.n_layers), static_cast<double>(b.n_layers)},
      {"num_attention_heads", static_cast<double>(a.n_heads), static_cast<double>(b.n_heads)},
      {"num_key_value_heads", static_cast<double>(a.n_kv_heads), static_cast<double>(b.n_kv_heads)},
      {"head_dim", static_cast<double>(a.head_dim), static_cast<double>(b.head_dim)},
      {"rms_norm_eps", static_cast<double>(a.rms_norm_eps), static_cast<double>(b.rms_norm_eps)},
      {"rope_theta", static_cast<float>(a.rope_theta), static_cast<float>(b.rope_theta)},
      {"rotary dimensions", static_cast<double>(a.rotary_dim), static_cast<double>(b.rotary_dim)},
      {"max_position_embeddings", static_cast<double>(a.max_position_embeddings),
       static_cast<double>(b.max_position_embeddings)},
      {"tie_word_embeddings", a.tie_word_embeddings ? 1.0 : 0.0, b.tie_word_embeddings ? 1.0 : 0.0},
      {"linear_num_key_heads", static_cast<double>(a.linear_n_key_heads),
       static_cast<double>(b.linear_n_key_heads)},
      {"linear_num_value_heads", static_cast<double>(a.linear_n_value_heads),
       static_cast<double>(b.linear_n_value_heads)},
      {"linear_conv_kernel_dim", static_cast<double>(a.conv_kernel),
       static_cast<double>(b.conv_kernel)},
      {"num_experts", static_cast<double>(a.n_experts), static_cast<double>(b.n_experts)},
      {"num_experts_per_tok", static_cast<double>(a.n_experts_per_token),
       static_cast<double>(b.n_experts_per_token)},
      {"kinds of layers", 0.0, a.layer_kinds == b.layer_kinds ? 0.0 : 1.0},
  };
  for (const auto& [name, ours, theirs] : numbers) {
    if (ours == theirs) continue;
    problems.push_back(
        problem(kConfigFieldChanged, name, fmt::format("is {}, the source has {}", ours, theirs)));
  }
}

Result<double> relative_mse_across(const MatrixSource& ours, const MatrixSource& theirs) {
  double errors = 0.0;
  double squares = 0.0;
  const auto add = [&](float mine, float value) {
    const double difference = static_cast<double>(mine) - static_cast<double>(value);
    errors += difference * difference;
    squares += static_cast<double>(value) * static_cast<double>(value);
    return true;
  };
  ASSIGN_OR_RETURN(const bool all, all_values(ours, theirs, std::ref(add)));
  return !all || squares == 0.0 ? errors : errors / squares;
}

}  // namespace nibble

#include "model/qwen3_5/scratch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace nibble::qwen3_5 {
namespace {

// Enough rows to keep the head's product efficient, few enough to bound its output for vocabularies
// of a quarter million.
constexpr size_t kMaxLogitBytes = size_t{64} << 20;
constexpr size_t kMaxRows = size_t{1} << 20;
constexpr size_t kAlignedFloats = 16;

// Lays arrays out one after the other; a new group starts again where the shared ones end.
class Layout {
 public:
  void add(float** array, size_t n_rows, int64_t width) {
    arrays_.push_back({array, offset_});
    take(n_rows * static_cast<size_t>(width));
  }
  void add(int32_t** array, size_t n_rows, int64_t width) {
    static_assert(sizeof(int32_t) == sizeof(float));
    index_arrays_.push_back({array, offset_});
    take(n_rows * static_cast<size_t>(width));
  }
  void begin_groups() { group_ = offset_; }
  void begin_group() { offset_ = group_; }
  size_t n_bytes() const { return end_ * sizeof(float); }
  void place(float* base) const {
    for (const auto& [pointer, offset] : arrays_) *pointer = base + offset;
    for (const auto& [pointer, offset] : index_arrays_) {
      *pointer = reinterpret_cast<int32_t*>(base + offset);
    }
  }

 private:
  void take(size_t n) {
    offset_ += (n + kAlignedFloats - 1) / kAlignedFloats * kAlignedFloats;
    end_ = std::max(end_, offset_);
  }
  std::vector<std::pair<float**, size_t>> arrays_;
  std::vector<std::pair<int32_t**, size_t>> index_arrays_;
  size_t offset_ = 0;
  size_t group_ = 0;
  size_t end_ = 0;
};

// Beside gate and up of the shared expert.
void add_experts(const ModelConfig& config, size_t max_rows, Scratch& s, Layout& layout) {
  const int64_t n_chosen = config.n_experts_per_token;
  const size_t n_rows = max_rows * static_cast<size_t>(n_chosen);
  layout.add(&s.router_logits, max_rows, config.n_experts);
  layout.add(&s.expert_weights, max_rows, n_chosen);
  layout.add(&s.experts, max_rows, n_chosen);
  layout.add(&s.expert_row, max_rows, n_chosen);
  layout.add(&s.first_row, 1, config.n_experts + 1);
  layout.add(&s.expert_rows, n_rows, config.hidden_size);
  layout.add(&s.expert_gate, n_rows, config.expert_intermediate_size);
  layout.add(&s.expert_up, n_rows, config.expert_intermediate_size);
  layout.add(&s.shared, max_rows, config.hidden_size);
  layout.add(&s.shared_gate, max_rows, 1);
}

}  // namespace

Result<Scratch> make_scratch(const ModelConfig& config, size_t max_rows, Backend& backend) {
  if (max_rows > kMaxRows) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("a batch of {} rows was asked for; at most {} are possible", max_rows,
                             kMaxRows));
  }
  Scratch s;
  s.max_rows = max_rows;
  const size_t logit_row_bytes = static_cast<size_t>(config.vocab_size) * sizeof(float);
  s.max_logit_rows = std::clamp<size_t>(kMaxLogitBytes / logit_row_bytes, 1, max_rows);

  Layout layout;
  layout.add(&s.x, max_rows, config.hidden_size);
  layout.add(&s.h, max_rows, config.hidden_size);
  layout.begin_groups();

  layout.begin_group();
  layout.add(&s.qkv, max_rows, config.conv_channels());
  layout.add(&s.mixed, max_rows, config.conv_channels());
  layout.add(&s.z, max_rows, config.linear_value_size());
  for (float** array : {&s.b, &s.a, &s.decay, &s.beta}) {
    layout.add(array, max_rows, config.linear_n_value_heads);
  }
  layout.add(&s.recalled, max_rows, config.linear_value_size());

  layout.begin_group();
  layout.add(&s.q, max_rows, 2 * config.n_heads * config.head_dim);
  layout.add(&s.k, max_rows, config.n_kv_heads * config.head_dim);
  layout.add(&s.v, max_rows, config.n_kv_heads * config.head_dim);
  layout.add(&s.attended, max_rows, config.n_heads * config.head_dim);

  layout.begin_group();
  const int64_t inner =
      config.n_experts > 0 ? config.shared_expert_intermediate_size : config.intermediate_size;
  layout.add(&s.gate, max_rows, inner);
  layout.add(&s.up, max_rows, inner);
  if (config.n_experts > 0) add_experts(config, max_rows, s, layout);

  layout.begin_group();
  layout.add(&s.y, s.max_logit_rows, config.hidden_size);
  layout.add(&s.logits, s.max_logit_rows, config.vocab_size);

  ASSIGN_OR_RETURN(s.memory, backend.allocate(layout.n_bytes()));
  layout.place(s.memory.f32());
  return s;
}

}  // namespace nibble::qwen3_5

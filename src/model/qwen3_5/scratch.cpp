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
    const size_t n = n_rows * static_cast<size_t>(width);
    offset_ += (n + kAlignedFloats - 1) / kAlignedFloats * kAlignedFloats;
    end_ = std::max(end_, offset_);
  }
  void begin_groups() { group_ = offset_; }
  void begin_group() { offset_ = group_; }
  size_t n_bytes() const { return end_ * sizeof(float); }
  void place(float* base) const {
    for (const Array& array : arrays_) *array.pointer = base + array.offset;
  }

 private:
  struct Array {
    float** pointer;
    size_t offset;
  };
  std::vector<Array> arrays_;
  size_t offset_ = 0;
  size_t group_ = 0;
  size_t end_ = 0;
};

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
  layout.add(&s.gate, max_rows, config.intermediate_size);
  layout.add(&s.up, max_rows, config.intermediate_size);

  layout.begin_group();
  layout.add(&s.y, s.max_logit_rows, config.hidden_size);
  layout.add(&s.logits, s.max_logit_rows, config.vocab_size);

  ASSIGN_OR_RETURN(s.memory, backend.allocate(layout.n_bytes()));
  layout.place(s.memory.f32());
  return s;
}

}  // namespace nibble::qwen3_5

#include "tokenizer/model/merge_table.h"

#include "core/check.h"

namespace nibble {

void MergeTable::reserve(size_t n_merges) {
  int bits = 1;
  while (size_t{1} << bits < 2 * n_merges + 2) ++bits;
  slots_.assign(size_t{1} << bits, Slot{});
  mask_ = slots_.size() - 1;
  shift_ = 64 - bits;
}

void MergeTable::add(int32_t left, int32_t right, Merge merge) {
  CHECK(left >= 0 && right >= 0);
  for (size_t slot = home_of(left, right);; slot = (slot + 1) & mask_) {
    Slot& s = slots_[slot];
    if (s.left == kFree || (s.left == left && s.right == right)) {
      s = {left, right, merge};
      return;
    }
  }
}

}  // namespace nibble

// The merges of a byte-pair encoding: for a pair of neighbouring tokens, its rank and the result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nibble {

/// A merge of two tokens. Lower ranks happen first.
struct Merge {
  static constexpr uint32_t kNoRank = UINT32_MAX;
  uint32_t rank = kNoRank;
  int32_t result = -1;
};

/// A hash table filled once, then read only. 16 bytes a slot, at most half full.
class MergeTable {
 public:
  /// Makes room for `n_merges` calls of add; more must not follow.
  void reserve(size_t n_merges);
  /// A pair that is added again takes the later rank, as in the reference library.
  void add(int32_t left, int32_t right, Merge merge);
  /// A merge with kNoRank if the pair does not merge.
  Merge find(int32_t left, int32_t right) const {
    for (size_t slot = home_of(left, right);; slot = (slot + 1) & mask_) {
      const Slot& s = slots_[slot];
      if (s.left == left && s.right == right) return s.merge;
      if (s.left == kFree) return {};
    }
  }

 private:
  static constexpr int32_t kFree = -1;
  struct Slot {
    int32_t left = kFree;
    int32_t right = kFree;
    Merge merge;
  };
  size_t home_of(int32_t left, int32_t right) const {
    const uint64_t key = static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
    return static_cast<size_t>(key * 0x9E3779B97F4A7C15ull >> shift_);
  }

  std::vector<Slot> slots_ = std::vector<Slot>(2);
  size_t mask_ = 1;
  int shift_ = 63;
};

}  // namespace nibble

// All tokens of a tokenizer: content as written in its file, the bytes it stands for, its id.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace nibble {

/// Filled once, then read only. Ids run from 0 without gaps.
class Vocabulary {
 public:
  /// Adds the token with the next id, size(). Nothing happens and false is returned if the content
  /// is known. Content longer than kMaxContentBytes must not be given.
  bool add(std::string_view content);
  static constexpr size_t kMaxContentBytes = 64 << 10;

  int32_t size() const { return static_cast<int32_t>(content_ends_.size()); }
  /// The content of a valid id, as in the file ("Ġthe").
  std::string_view content(int32_t id) const { return slice(contents_, content_ends_, id); }
  /// The bytes of a valid id (" the"): its content read in the byte alphabet, or as it stands where
  /// it has a character outside the alphabet.
  std::string_view bytes(int32_t id) const { return slice(bytes_, bytes_ends_, id); }
  std::optional<int32_t> find(std::string_view content) const;

 private:
  static std::string_view slice(const std::string& text, const std::vector<size_t>& ends,
                                int32_t id) {
    const auto i = static_cast<size_t>(id);
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(text).substr(begin, ends[i] - begin);
  }
  size_t slot_of(std::string_view content) const;
  void grow();

  std::string contents_;
  std::vector<size_t> content_ends_;
  std::string bytes_;
  std::vector<size_t> bytes_ends_;
  std::vector<int32_t> slots_;  // ids by hash of content, open addressing, -1 where free
};

}  // namespace nibble

#include "tokenizer/model/vocabulary.h"

#include <functional>

#include "core/check.h"
#include "tokenizer/model/byte_alphabet.h"

namespace nibble {
namespace {

constexpr int32_t kFree = -1;
constexpr size_t kFirstSlots = 1024;

}  // namespace

bool Vocabulary::add(std::string_view content) {
  CHECK(content.size() <= kMaxContentBytes);
  if (slots_.size() < 2 * (content_ends_.size() + 1)) grow();
  const size_t slot = slot_of(content);
  if (slots_[slot] != kFree) return false;
  slots_[slot] = size();
  contents_.append(content);
  content_ends_.push_back(contents_.size());
  if (const auto bytes = from_byte_alphabet(content)) {
    bytes_.append(*bytes);
  } else {
    bytes_.append(content);
  }
  bytes_ends_.push_back(bytes_.size());
  return true;
}

std::optional<int32_t> Vocabulary::find(std::string_view content) const {
  if (slots_.empty()) return std::nullopt;
  const int32_t id = slots_[slot_of(content)];
  if (id == kFree) return std::nullopt;
  return id;
}

// The slot that holds the content, or the free one where it belongs.
size_t Vocabulary::slot_of(std::string_view wanted) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = std::hash<std::string_view>()(wanted) & mask;
  while (slots_[slot] != kFree && content(slots_[slot]) != wanted) slot = (slot + 1) & mask;
  return slot;
}

void Vocabulary::grow() {
  slots_.assign(slots_.empty() ? kFirstSlots : slots_.size() * 2, kFree);
  for (int32_t id = 0; id < size(); ++id) slots_[slot_of(content(id))] = id;
}

}  // namespace nibble

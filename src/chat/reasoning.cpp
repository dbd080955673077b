#include "chat/reasoning.h"

#include <algorithm>

namespace nibble {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";
constexpr std::string_view kBlank = " \t\r\n";

/// Length of the longest end of `text` that could grow into `tag`.
size_t partial_tag(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (text.ends_with(tag.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

ReasoningSplitter::ReasoningSplitter(std::string_view prompt) {
  const size_t open = prompt.rfind(kOpen);
  const size_t close = prompt.rfind(kClose);
  if (open == std::string_view::npos) {
    side_ = close == std::string_view::npos ? Side::kUndecided : Side::kContent;
  } else {
    // Earlier turns have closed blocks; only a block that is still open makes the model think. A
    // prompt that ends after a closed block of an earlier turn leaves it to the model.
    const bool is_open = close == std::string_view::npos || close < open;
    const size_t last_end = is_open ? open + kOpen.size() : close + kClose.size();
    const bool at_end = prompt.find_first_not_of(kBlank, last_end) == std::string_view::npos;
    side_ = !at_end ? Side::kUndecided : is_open ? Side::kReasoning : Side::kContent;
  }
}

ReasoningDelta ReasoningSplitter::push(std::string_view text) {
  pending_ += text;
  ReasoningDelta delta;
  split(delta, false);
  return delta;
}

ReasoningDelta ReasoningSplitter::finish() {
  ReasoningDelta delta;
  split(delta, true);
  return delta;
}

void ReasoningSplitter::split(ReasoningDelta& delta, bool at_end) {
  if (side_ == Side::kUndecided && !decide(at_end)) return;
  if (side_ == Side::kReasoning && !leave_reasoning(delta, at_end)) return;
  emit(delta.content, pending_);
  pending_.clear();
}

/// A model that opens the block itself does so before anything else.
bool ReasoningSplitter::decide(bool at_end) {
  const size_t first = std::min(pending_.find_first_not_of(kBlank), pending_.size());
  const std::string_view start = std::string_view(pending_).substr(first);
  if (start.starts_with(kOpen)) {
    pending_.erase(0, first + kOpen.size());
    side_ = Side::kReasoning;
    return true;
  }
  if (!at_end && kOpen.starts_with(start)) return false;
  side_ = Side::kContent;
  return true;
}

/// True once the block is closed and the rest of the pending text is the answer.
bool ReasoningSplitter::leave_reasoning(ReasoningDelta& delta, bool at_end) {
  const size_t close = pending_.find(kClose);
  const bool is_closed = close != std::string::npos;
  size_t n_certain = is_closed ? close : pending_.size();
  if (!is_closed && !at_end) {
    n_certain -= partial_tag(pending_, kClose);
  }
  std::string_view certain = std::string_view(pending_).substr(0, n_certain);
  certain = certain.substr(0, certain.find_last_not_of('\n') + 1);
  // Newlines at the end wait: they are dropped if the block closes right after them.
  emit(delta.reasoning, certain);
  pending_.erase(0, is_closed ? close + kClose.size() : certain.size());
  if (is_closed) {
    side_ = Side::kContent;
    at_start_ = true;
  } else if (at_end) {
    pending_.clear();
  }
  return is_closed;
}

void ReasoningSplitter::emit(std::string& out, std::string_view text) {
  if (at_start_) text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
  if (!text.empty()) at_start_ = false;
  out += text;
}

}  // namespace nibble

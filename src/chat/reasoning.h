// Splits what a model says into its thinking and its answer, as the text arrives.
#pragma once

#include <string>
#include <string_view>

namespace nibble {

/// Text of one side or both; empty where nothing new is certain.
struct ReasoningDelta {
  std::string reasoning;
  std::string content;
};

/// Follows "<think>" and "</think>" through a growing text. Templates for thinking models open the
/// block themselves, so the prompt decides on which side the text starts. Newlines around the
/// thinking and before the answer belong to neither. The concatenation of all deltas is the result.
class ReasoningSplitter {
 public:
  /// `prompt`: the rendered prompt; the last tag in it tells the state.
  explicit ReasoningSplitter(std::string_view prompt);

  /// Text that may be the beginning of a tag, and newlines that may be the last, are held back.
  ReasoningDelta push(std::string_view text);

  /// The end of the text: what was held back goes to the side that is current.
  ReasoningDelta finish();

 private:
  enum class Side { kUndecided, kReasoning, kContent };
  void split(ReasoningDelta& delta, bool at_end);
  bool decide(bool at_end);
  bool leave_reasoning(ReasoningDelta& delta, bool at_end);
  void emit(std::string& out, std::string_view text);

  Side side_;
  bool at_start_ = true;  // of the current side: newlines are dropped
  std::string pending_;
};

}  // namespace nibble

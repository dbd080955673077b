#include "chat/reasoning.h"

#include <gtest/gtest.h>

#include <string>

namespace nibble {
namespace {

/// Splits `text` fed in pieces of `step` bytes.
ReasoningDelta split(std::string_view prompt, std::string_view text, size_t step) {
  ReasoningSplitter splitter(prompt);
  ReasoningDelta all;
  const auto take = [&](const ReasoningDelta& delta) {
    all.reasoning += delta.reasoning;
    all.content += delta.content;
  };
  for (size_t at = 0; at < text.size(); at += step) take(splitter.push(text.substr(at, step)));
  take(splitter.finish());
  return all;
}

/// In every way to cut it.
void expect_split(std::string_view prompt, std::string_view text, std::string_view reasoning,
                  std::string_view content) {
  for (size_t step = 1; step <= text.size() + 1; ++step) {
    const ReasoningDelta all = split(prompt, text, step);
    EXPECT_EQ(all.reasoning, reasoning) << text << " in steps of " << step;
    EXPECT_EQ(all.content, content) << text << " in steps of " << step;
  }
}

constexpr std::string_view kThinking = "<|im_start|>assistant\n<think>\n";
constexpr std::string_view kNotThinking = "<|im_start|>assistant\n<think>\n\n</think>\n\n";
constexpr std::string_view kNoTag = "<|im_start|>assistant\n";

TEST(ReasoningSplitter, TheTagEndsTheThinking) {
  expect_split(kThinking, "a\n</think>\n\nB", "a", "B");
  expect_split(kThinking, "</think>B", "", "B");
  expect_split(kThinking, "a\n\nb </ c\n</think>\nB\n\nC\n", "a\n\nb </ c", "B\n\nC\n");
  expect_split(kThinking, "a</think>B</think>C", "a", "B</think>C");
}

TEST(ReasoningSplitter, WithoutTheTagAllIsThinking) {
  expect_split(kThinking, "only a", "only a", "");
  expect_split(kThinking, "cut </thi", "cut </thi", "");
  expect_split(kThinking, "", "", "");
}

TEST(ReasoningSplitter, AClosedBlockInThePromptMeansNoThinking) {
  expect_split(kNotThinking, "B", "", "B");
  expect_split(kNotThinking, "\n\nB </think> C", "", "B </think> C");
}

TEST(ReasoningSplitter, ModelsMayOpenTheBlockThemselves) {
  expect_split(kNoTag, "<think>\na\n</think>\n\nB", "a", "B");
  expect_split(kNoTag, "\n<think>a</think>B", "a", "B");
  expect_split(kNoTag, "B <think> C", "", "B <think> C");
  expect_split(kNoTag, "<thin", "", "<thin");
}

TEST(ReasoningSplitter, EarlierTurnsDoNotDecide) {
  const std::string earlier = "<think>\nx\n</think>\n\ny<|im_end|>\n";
  expect_split(earlier + std::string(kThinking), "a</think>B", "a", "B");
  expect_split(earlier + std::string(kNoTag), "<think>a</think>B", "a", "B");
  expect_split(earlier + std::string(kNoTag), "B", "", "B");
}

}  // namespace
}  // namespace nibble

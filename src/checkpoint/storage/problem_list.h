// Problems gathered while looking at many tensors, so that one message tells them together.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

namespace nibble {

class ProblemList {
 public:
  void add(std::string problem) {
    ++size_;
    if (shown_.size() < kMaxShown) shown_.push_back(std::move(problem));
  }
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  /// The first ones, and how many more there are.
  std::string text() const {
    std::string text = fmt::format("{}", fmt::join(shown_, "; "));
    if (size_ > shown_.size()) text += fmt::format("; and {} more", size_ - shown_.size());
    return text;
  }

 private:
  static constexpr size_t kMaxShown = 10;
  std::vector<std::string> shown_;
  size_t size_ = 0;
};

}  // namespace nibble

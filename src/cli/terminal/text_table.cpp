#include "cli/terminal/text_table.h"

#include <algorithm>

#include "core/check.h"

namespace nibble {
namespace {

constexpr size_t kGap = 2;

/// Code points: every byte that does not continue one.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u;
  }));
}

}  // namespace

std::string TextTable::text() const {
  std::vector<size_t> widths(columns_.size(), 0);
  for (const auto& row : rows_) {
    CHECK(row.empty() || row.size() == columns_.size());
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  size_t total_width = columns_.empty() ? 0 : kGap * (columns_.size() - 1);
  for (const size_t width : widths) total_width += width;

  std::string out;
  for (const auto& row : rows_) {
    std::string line = row.empty() ? std::string(total_width, '-') : std::string();
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - width_of(row[i]), ' ');
      if (i > 0) line.append(kGap, ' ');
      line += columns_[i] == Align::kRight ? padding + row[i] : row[i] + padding;
    }
    line.resize(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

}  // namespace nibble

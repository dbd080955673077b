// Tables of text with aligned columns.
#pragma once

#include <string>
#include <vector>

namespace nibble {

enum class Align { kLeft, kRight };

/// Rows of cells, padded to the widest cell of each column. Widths count characters, not bytes.
class TextTable {
 public:
  explicit TextTable(std::vector<Align> columns) : columns_(std::move(columns)) {}

  /// A row with as many cells as there are columns.
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  /// A line across the table.
  void rule() { rows_.emplace_back(); }

  /// The table, each line ended by a newline, without blanks at line ends.
  std::string text() const;

 private:
  std::vector<Align> columns_;
  std::vector<std::vector<std::string>> rows_;  // an empty row is a rule
};

}  // namespace nibble

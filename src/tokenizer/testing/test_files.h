// For this room's tests: reading case files and building tokenizers from the files in the tree.
#pragma once

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "tests/test_data.h"
#include "tokenizer/tokenizer.h"

namespace nibble::test {

inline std::string read_text(const std::string& path) {
  auto text = read_file(path);
  EXPECT_TRUE(text) << text.error().to_string();
  return text ? *text : std::string();
}

/// One JSON document a line.
inline std::vector<Json> read_json_lines(const std::string& path) {
  std::istringstream lines(read_text(path));
  std::vector<Json> rows;
  for (std::string line; std::getline(lines, line);) {
    auto row = parse_json(line, path);
    EXPECT_TRUE(row);
    if (row) rows.push_back(std::move(*row));
  }
  EXPECT_FALSE(rows.empty()) << path;
  return rows;
}

inline Tokenizer make_tokenizer(const std::string& json, const std::string& subject = "test") {
  auto tokenizer = Tokenizer::from_json(json, subject);
  EXPECT_TRUE(tokenizer) << tokenizer.error().to_string();
  return std::move(*tokenizer);
}

inline Tokenizer nano_tokenizer() {
  return make_tokenizer(read_text(source_path("models/nano/tokenizer.json")));
}

using Ids = std::vector<int32_t>;

inline Ids encode_or_fail(const Tokenizer& tokenizer, const std::string& text,
                          const EncodeOptions& options = {}) {
  auto ids = tokenizer.encode(text, options);
  EXPECT_TRUE(ids) << ids.error().to_string();
  return ids ? *ids : Ids();
}

}  // namespace nibble::test

#include <gtest/gtest.h>

#include "cli/terminal/progress_printer.h"
#include "cli/terminal/text_table.h"

namespace nibble {
namespace {

TEST(TextTable, AlignsByCharacters) {
  TextTable table({Align::kLeft, Align::kRight});
  table.row({"name", "value"});
  table.rule();
  table.row({"caf\u00e9", "1"});
  table.row({"x", "1000"});
  EXPECT_EQ(table.text(),
            "name  value\n"
            "-----------\n"
            "caf\u00e9      1\n"
            "x      1000\n");
}

TEST(ProgressText, TellsAmountRateAndRest) {
  const Progress bytes{"quantize", "layers.0.mlp", 500'000'000, 1'000'000'000, true};
  const std::string text = progress_text(bytes, 5.0, 0);
  for (const char* part : {"quantize", "50 %", "/s", "5 s left", "layers.0.mlp"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
  }
  const Progress items{"eval", "tasks", 3, 0, false};
  EXPECT_NE(progress_text(items, 0.0, 0).find("3 / ?"), std::string::npos);
  EXPECT_EQ(progress_text(bytes, 5.0, 10).size(), 10u);
}

}  // namespace
}  // namespace nibble

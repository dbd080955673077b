#include "bench/speed.h"

#include <gtest/gtest.h>

#include "core/cancel.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

TEST(Speed, ReportsEveryRepeat) {
  auto engine = Engine::open(test::source_path("models/nano"));
  ASSERT_TRUE(engine) << engine.error().to_string();
  SpeedOptions options;
  options.n_prefill = 40;
  options.n_decode = 4;
  options.n_repeats = 3;
  const auto report = measure_speed(**engine, options);
  ASSERT_TRUE(report) << report.error().to_string();
  ASSERT_EQ(report->prefill.samples.size(), 3u);
  ASSERT_EQ(report->decode.samples.size(), 3u);
  EXPECT_GT(report->prefill.least, 0.0);
  EXPECT_LE(report->prefill.least, report->prefill.median);
  EXPECT_LE(report->prefill.median, report->prefill.most);
  const Json json = report_json(*report);
  EXPECT_EQ(json["decode_tok_s"].get<double>(), report->decode.median);
  EXPECT_EQ(json["n_prefill"].get<int>(), 40);

  options.n_decode = 0;
  EXPECT_EQ(measure_speed(**engine, options).error().code, ErrorCode::kInvalidArgument);
  options.n_decode = 4;
  request_cancel(2);
  EXPECT_EQ(measure_speed(**engine, options).error().code, ErrorCode::kCancelled);
  clear_cancel();
}

}  // namespace
}  // namespace nibble

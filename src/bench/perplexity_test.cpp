#include "bench/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>

#include "core/cancel.h"
#include "core/json.h"
#include "formats/safetensors.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

std::unique_ptr<Engine> open_nano() {
  auto engine = Engine::open(test::source_path("models/nano"));
  EXPECT_TRUE(engine) << (engine ? "" : engine.error().to_string());
  return engine ? std::move(*engine) : nullptr;
}

/// Two windows of a book and the F32 reference's negative log-likelihoods of their scored tokens.
struct ReferenceWindows {
  std::vector<int32_t> tokens;
  std::vector<double> nll;

  ReferenceWindows() {
    const auto json = read_json_file(test::source_path("tests/data/bench/nano_nll.json"));
    EXPECT_TRUE(json) << (json ? "" : json.error().to_string());
    if (!json) return;
    tokens = json->at("input_ids").get<std::vector<int32_t>>();
    nll = json->at("scored_nll").get<std::vector<double>>();
  }
};

template <typename T>
std::vector<T> read_tensor(const SafetensorsFile& file, const char* name) {
  const SafetensorsEntry* const entry = file.header().find(name);
  EXPECT_NE(entry, nullptr) << name;
  if (entry == nullptr) return {};
  std::vector<T> values(entry->n_bytes / sizeof(T));
  std::memcpy(values.data(), file.view(*entry).bytes.data(), entry->n_bytes);
  return values;
}

TEST(Perplexity, EveryTokenAgreesWithTheReference) {
  const ReferenceWindows reference;
  const auto engine = open_nano();
  ASSERT_NE(engine, nullptr);
  const auto report = measure_perplexity(*engine, nullptr, reference.tokens);
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->n_windows, 2u);
  ASSERT_EQ(report->n_tokens, 510u);
  ASSERT_EQ(report->nll.size(), reference.nll.size());
  double sum = 0.0;
  for (size_t i = 0; i < reference.nll.size(); ++i) {
    ASSERT_NEAR(report->nll[i], reference.nll[i], 1e-3) << "scored token " << i;
    sum += reference.nll[i];
  }
  EXPECT_NEAR(report->model.mean_nll, sum / 510.0, 1e-5);
  EXPECT_NEAR(report->model.ppl, std::exp(sum / 510.0), 1e-3);
  EXPECT_FALSE(report->base.has_value());
  EXPECT_TRUE(report->kld.empty());
}

TEST(Perplexity, PiecesDoNotChangeTheResult) {
  const ReferenceWindows reference;
  EngineOptions options;
  options.max_batch_rows = 100;
  auto engine = Engine::open(test::source_path("models/nano"), options);
  ASSERT_TRUE(engine) << engine.error().to_string();
  PerplexityOptions one_window;
  one_window.max_windows = 1;
  const auto report = measure_perplexity(**engine, nullptr, reference.tokens, one_window);
  ASSERT_TRUE(report) << report.error().to_string();
  ASSERT_EQ(report->n_tokens, 255u);
  for (size_t i = 0; i < 255; ++i) {
    ASSERT_NEAR(report->nll[i], reference.nll[i], 1e-3) << "scored token " << i;
  }
}

TEST(Perplexity, AModelDoesNotDivergeFromItself) {
  const ReferenceWindows reference;
  const auto engine = open_nano();
  ASSERT_NE(engine, nullptr);
  PerplexityOptions options;
  options.n_ctx = 65;  // odd: positions 32 to 63 are scored
  options.max_windows = 3;
  const auto report = measure_perplexity(*engine, engine.get(), reference.tokens, options);
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->n_tokens, 3u * 32u);
  ASSERT_TRUE(report->divergence.has_value());
  EXPECT_EQ(report->divergence->kld_mean, 0.0);
  EXPECT_EQ(report->divergence->kld_max, 0.0);
  EXPECT_EQ(report->divergence->top1_agreement, 1.0);
  EXPECT_EQ(report->divergence->delta_p_rms, 0.0);
  EXPECT_NEAR(report->divergence->nll_correlation, 1.0, 1e-12);
  EXPECT_EQ(report->base->ppl, report->model.ppl);

  const Json json = report_json(*report);
  for (const char* key : {"ppl", "ppl_se", "kld_mean", "kld_se", "kld_median", "kld_p99", "kld_max",
                          "top1_agreement", "n_tokens", "n_windows", "base_ppl"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
}

TEST(Perplexity, ShortTextsAndBadRequestsAreRefused) {
  const auto engine = open_nano();
  ASSERT_NE(engine, nullptr);
  const std::vector<int32_t> short_text(511, 5);
  EXPECT_EQ(measure_perplexity(*engine, nullptr, short_text).error().code,
            ErrorCode::kInvalidArgument);
  PerplexityOptions tiny;
  tiny.n_ctx = 3;
  EXPECT_EQ(measure_perplexity(*engine, nullptr, short_text, tiny).error().code,
            ErrorCode::kInvalidArgument);
  const std::vector<int32_t> strange(512, 8192);
  EXPECT_EQ(measure_perplexity(*engine, nullptr, strange).error().code,
            ErrorCode::kInvalidArgument);
  const std::vector<int32_t> text(512, 5);
  request_cancel(2);
  EXPECT_EQ(measure_perplexity(*engine, nullptr, text).error().code, ErrorCode::kCancelled);
  clear_cancel();
}

TEST(PerplexityGolden, FirstEightWindows) {
  const std::string path = test::golden_path("forward/nll.safetensors");
  REQUIRE_GOLDEN(path);
  const auto file = SafetensorsFile::open(path);
  ASSERT_TRUE(file) << file.error().to_string();
  const auto tokens = read_tensor<int32_t>(*file, "input_ids");
  const auto nll = read_tensor<float>(*file, "nll");
  const auto engine = open_nano();
  ASSERT_NE(engine, nullptr);
  const auto report = measure_perplexity(*engine, nullptr, tokens);
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_NEAR(report->model.ppl, 34.53872, 5e-4);
  for (size_t i = 0; i < report->nll.size(); ++i) {
    const size_t window = i / 255;
    ASSERT_NEAR(report->nll[i], static_cast<double>(nll[window * 511 + 256 + i % 255]), 1e-3)
        << "window " << window;
  }
}

}  // namespace
}  // namespace nibble

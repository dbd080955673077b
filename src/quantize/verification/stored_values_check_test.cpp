// Values that no reader refuses and no model survives, as they stand in real files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "quantize/checkpoint_fixture.h"
#include "quantize/verify.h"

namespace nibble {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Field;
using testing::HasSubstr;

std::vector<VerifyProblem> problems(const std::string& folder) {
  auto report = verify_checkpoint(folder, std::nullopt, 2);
  EXPECT_TRUE(report.has_value()) << report.error().to_string();
  return report ? report->problems : std::vector<VerifyProblem>{};
}

auto problem_of(const std::string& code, const std::string& subject, const std::string& says) {
  return AllOf(Field(&VerifyProblem::code, code), Field(&VerifyProblem::subject, subject),
               Field(&VerifyProblem::message, HasSubstr(says)));
}

TEST(StoredValues, UncalibratedCacheScalesAreProblems) {
  // As a real tool wrote them: -2.36e10 and 2.0e-19.
  const auto found = problems(test::source_path("tests/dialect_fixtures/llmcompressor-mlp-fp8kv"));
  EXPECT_THAT(found,
              Contains(problem_of("cache_scale_invalid", "layers.3.self_attn.k_scale", "is -2")));
  EXPECT_THAT(found, Contains(problem_of("cache_scale_invalid", "layers.3.self_attn.v_scale",
                                         "cannot be the scale")));
}

TEST(StoredValues, NaNCodesOfFp8AreProblems) {
  const test::TemporaryFolder folder;
  std::filesystem::copy(test::source_path("tests/dialect_fixtures/modelopt-mixed"), folder.path(),
                        std::filesystem::copy_options::recursive);
  const auto none = problems(folder.path());
  EXPECT_THAT(none, Not(Contains(Field(&VerifyProblem::code, "weight_not_finite"))));
  EXPECT_THAT(none, Not(Contains(Field(&VerifyProblem::code, "cache_scale_invalid"))));
  const auto place =
      test::place_of(folder.path(), "model.language_model.layers.3.self_attn.k_proj.weight");
  test::set_byte(place, 256 * 2 + 9, 0x7f);
  EXPECT_THAT(problems(folder.path()),
              Contains(problem_of("weight_not_finite", "layers.3.self_attn.k_proj.weight",
                                  "in row 2, stored as FP8")));
}

}  // namespace
}  // namespace nibble

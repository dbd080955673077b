#include "quantize/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "quantize/checkpoint_fixture.h"

namespace nibble {
namespace {

using test::place_of;
using test::StoredPlace;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kDown = "model.language_model.layers.2.mlp.down_proj";

VerifyReport verified(const std::string& folder, const std::optional<std::string>& source) {
  auto report = verify_checkpoint(folder, source, 2);
  EXPECT_TRUE(report.has_value()) << report.error().to_string();
  return report ? *report : VerifyReport{};
}

auto problem_with(const std::string& code, const std::string& subject) {
  return AllOf(Field(&VerifyProblem::code, code),
               Field(&VerifyProblem::subject, HasSubstr(subject)),
               Field(&VerifyProblem::message, testing::Not(IsEmpty())),
               Field(&VerifyProblem::fix, testing::Not(IsEmpty())));
}

// Exports for all tests of the suite, whole and, quicker to verify, with one layer quantized; each
// test damages a copy of its own.
class Verify : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new test::TemporaryFolder();
    test::quantized(test::nano_job(folder_->path("rtn"), "rtn"));
    test::quantized(test::nano_job(folder_->path("sweep"), "sweep"));
    for (const char* method : {"rtn", "sweep"}) {
      QuantizeJob job = test::nano_job(folder_->path(layer_of(method)), method);
      job.ignore = {"re:.*layers\\.(?!2\\.)"};
      test::quantized(job);
    }
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string layer_of(const std::string& method) { return method + "_layer"; }
  static std::string exported(const std::string& name) { return folder_->path(name); }
  // A copy of the export with one quantized layer, to damage.
  std::string damaged(const std::string& method = "sweep") {
    const std::string path = own_.path("copy");
    std::filesystem::remove_all(path);
    test::copy_folder(exported(layer_of(method)), path);
    return path;
  }
  std::vector<VerifyProblem> problems(const std::string& folder) {
    return verified(folder, test::nano()).problems;
  }

  test::TemporaryFolder own_;

 private:
  static inline test::TemporaryFolder* folder_ = nullptr;
};

TEST_F(Verify, OwnExportsPassInBothMethodsAndDialects) {
  for (const char* name : {"rtn", "sweep"}) {
    const VerifyReport report = verified(exported(name), test::nano());
    EXPECT_TRUE(report.ok()) << verify_text(report);
    EXPECT_EQ(report.n_quantized, 62u);
    EXPECT_EQ(report.matrices.size(), 62u);
    EXPECT_EQ(report.n_identical_tensors, report.n_tensors - 62);
    EXPECT_GE(report.n_identical_files, 5u);
    EXPECT_EQ(report.dialect, "compressed-tensors");
    EXPECT_TRUE(verified(exported(name), std::nullopt).ok());
  }
  QuantizeJob job = test::nano_job(own_.path("mo"), "sweep");
  job.dialect = "modelopt";
  job.recipe = "mlp";
  test::quantized(job);
  const VerifyReport report = verified(own_.path("mo"), test::nano());
  EXPECT_TRUE(report.ok()) << verify_text(report);
  EXPECT_EQ(report.n_quantized, 24u);
}

TEST_F(Verify, FindsEveryFlippedNibble) {
  for (const char* name : {"rtn", "sweep"}) {
    for (const uint64_t at : {0u, 1001u, 7777u}) {
      const std::string copy = damaged(name);
      const StoredPlace place = place_of(copy, std::string(kDown) + ".weight_packed");
      test::set_byte(place, at, test::byte_at(place, at) ^ 0x0f);
      EXPECT_THAT(problems(copy),
                  Contains(problem_with("codes_not_nearest", "layers.2.mlp.down_proj.weight")));
    }
  }
}

TEST_F(Verify, FindsTheFlippedSignOfAZero) {
  const std::string copy = damaged("rtn");
  const StoredPlace place = place_of(copy, std::string(kDown) + ".weight_packed");
  uint64_t at = 0;
  while ((test::byte_at(place, at) & 0x07) != 0) ++at;
  test::set_byte(place, at, test::byte_at(place, at) ^ 0x08);
  EXPECT_THAT(problems(copy), ElementsAre(problem_with("zero_signs_mixed", "layers.2.mlp")));
}

TEST_F(Verify, FindsEveryChangedScale) {
  for (const char* name : {"rtn", "sweep"}) {
    for (const int step : {-1, 1, 5}) {
      const std::string copy = damaged(name);
      const StoredPlace place = place_of(copy, std::string(kDown) + ".weight_scale");
      test::set_byte(place, 300, static_cast<uint8_t>(test::byte_at(place, 300) + step));
      const auto found = problems(copy);
      ASSERT_FALSE(found.empty()) << name << " " << step;
      EXPECT_THAT(found, Contains(problem_with("block_scale_unexpected", "layers.2.mlp")));
    }
  }
}

TEST_F(Verify, FindsInvalidScalesWithoutASource) {
  for (const uint8_t bad : {0x00, 0x7f, 0xb8}) {
    const std::string copy = damaged();
    test::set_byte(place_of(copy, std::string(kDown) + ".weight_scale"), 300, bad);
    EXPECT_THAT(verified(copy, std::nullopt).problems,
                ElementsAre(problem_with("block_scale_invalid", "layers.2.mlp.down_proj")));
  }
}

TEST_F(Verify, FindsSiblingsWithScalesOfTheirOwn) {
  const std::string copy = damaged();
  const StoredPlace place =
      place_of(copy, "model.language_model.layers.2.mlp.up_proj.weight_global_scale");
  const float other = 1024.0f;
  test::overwrite(place, 0, {reinterpret_cast<const char*>(&other), sizeof(other)});
  EXPECT_THAT(verified(copy, std::nullopt).problems,
              ElementsAre(problem_with("siblings_differ", "layers.2.mlp")));
  EXPECT_THAT(problems(copy), Contains(problem_with("error_too_large", "layers.2.mlp.up_proj")));
}

TEST_F(Verify, FindsAChangedByteInAKeptTensor) {
  for (const char* name : {"model.language_model.embed_tokens.weight",
                           "model.language_model.layers.0.linear_attn.A_log"}) {
    const std::string copy = damaged();
    const StoredPlace place = place_of(copy, name);
    test::set_byte(place, place.n_bytes - 1, test::byte_at(place, place.n_bytes - 1) ^ 0x01);
    EXPECT_THAT(problems(copy), ElementsAre(problem_with("bytes_differ", "")));
  }
}

// Writes the export anew without one tensor, its header and its index entry.
void drop_tensor(const std::string& folder, const std::string& stored_name) {
  const StoredPlace place = place_of(folder, stored_name);
  std::string bytes = *read_file(place.path);
  const auto n_header = load_le<uint64_t>(bytes.data());
  Json header = Json::parse(bytes.substr(8, n_header));
  const uint64_t begin = place.offset - 8 - n_header;
  header.erase(stored_name);
  for (auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    for (auto& offset : entry["data_offsets"]) {
      if (offset.get<uint64_t>() > begin) offset = offset.get<uint64_t>() - place.n_bytes;
    }
  }
  bytes.erase(place.offset, place.n_bytes);
  bytes.erase(0, 8 + n_header);
  const std::string text = dump_json_line(header);
  std::string length(8, '\0');
  store_le<uint64_t>(length.data(), text.size());
  ASSERT_TRUE(write_file_atomically(place.path, length + text + bytes).has_value());
}

TEST_F(Verify, FindsADroppedTensor) {
  std::string copy = damaged();
  drop_tensor(copy, "model.language_model.layers.1.input_layernorm.weight");
  EXPECT_THAT(problems(copy), testing::UnorderedElementsAre(
                                  problem_with("tensor_missing", "layers.1.input_layernorm.weight"),
                                  problem_with("tensors_do_not_fit", "")));
  copy = damaged();
  drop_tensor(copy, std::string(kDown) + ".weight_scale");
  EXPECT_THAT(problems(copy), ElementsAre(problem_with("does_not_open", "")));
}

TEST_F(Verify, FindsEditedConfigAndFiles) {
  const std::string copy = damaged();
  Json config = read_json_file(copy + "/config.json").value();
  config["text_config"]["rms_norm_eps"] = 1e-5;
  config.erase("vision_config");
  ASSERT_TRUE(write_file_atomically(copy + "/config.json", dump_json(config)).has_value());
  ASSERT_TRUE(write_file_atomically(copy + "/chat_template.jinja", "hello").has_value());
  std::filesystem::remove(copy + "/tokenizer.json");
  EXPECT_THAT(problems(copy),
              testing::UnorderedElementsAre(problem_with("config_field_changed", "config.json"),
                                            problem_with("config_field_changed", "config.json"),
                                            problem_with("file_differs", "chat_template.jinja"),
                                            problem_with("file_missing", "tokenizer.json")));
}

TEST_F(Verify, FindsStrayFilesAndDescriptions) {
  const std::string copy = damaged();
  ASSERT_TRUE(write_file_atomically(copy + "/hf_quant_config.json", "{}").has_value());
  ASSERT_TRUE(write_file_atomically(copy + "/extra.safetensors", "x").has_value());
  EXPECT_THAT(verified(copy, std::nullopt).problems,
              testing::UnorderedElementsAre(problem_with("two_descriptions", "hf_quant_config"),
                                            problem_with("index_wrong", "")));
}

TEST_F(Verify, AnotherModelsWeightsDoNotPass) {
  const std::string other = own_.path("other");
  test::copy_folder(test::nano(), other);
  const StoredPlace place = place_of(other, "model.language_model.layers.4.mlp.up_proj.weight");
  const std::string zeros(place.n_bytes, '\0');
  test::overwrite(place, 0, zeros);
  const VerifyReport report = verified(exported("rtn"), other);
  EXPECT_THAT(report.problems, Contains(problem_with("error_too_large", "layers.4.mlp.up_proj")));
}

TEST_F(Verify, ReportsAsTextAndJson) {
  const std::string copy = damaged();
  std::filesystem::remove(copy + "/tokenizer.json");
  const VerifyReport report = verified(copy, test::nano());
  EXPECT_THAT(verify_text(report), HasSubstr("not verified: 1 problem"));
  const Json json = verify_json(report);
  EXPECT_EQ(json["ok"], false);
  EXPECT_EQ(json["problems"][0]["code"], "file_missing");
  EXPECT_EQ(json["n_quantized"], 8);
  EXPECT_THAT(verify_text(verified(exported("rtn"), test::nano())), HasSubstr("verified\n"));
}

TEST_F(Verify, WhatIsNotThereIsAnError) {
  const auto nowhere = verify_checkpoint(own_.path("nowhere"), std::nullopt, 1);
  ASSERT_FALSE(nowhere.has_value());
  EXPECT_EQ(nowhere.error().code, ErrorCode::kNotFound);
  const auto no_source = verify_checkpoint(exported("rtn"), own_.path("nowhere"), 1);
  EXPECT_FALSE(no_source.has_value());
}

// The other tool gave fused members scales of their own, altered norms and dropped files.
TEST(VerifyOtherTools, NamesWhatAnotherToolChanged) {
  const std::string folder = test::golden_path("exports/llmcompressor-nvfp4");
  REQUIRE_GOLDEN(folder);
  const test::TemporaryFolder own;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    const std::string name = file.path().filename().string();
    if (name == "golden.safetensors") continue;
    std::filesystem::create_symlink(file.path(), own.path(name));
  }
  const auto report = verify_checkpoint(own.path(), test::nano(), 2);
  ASSERT_TRUE(report.has_value()) << report.error().to_string();
  std::set<std::string> codes;
  for (const VerifyProblem& problem : report->problems) codes.insert(problem.code);
  EXPECT_THAT(codes, Contains("siblings_differ"));
  EXPECT_THAT(codes, Contains("file_missing"));
  EXPECT_EQ(codes.count("codes_not_nearest"), 0u) << verify_text(*report);
  EXPECT_EQ(codes.count("block_scale_unexpected"), 0u) << verify_text(*report);
}

}  // namespace
}  // namespace nibble

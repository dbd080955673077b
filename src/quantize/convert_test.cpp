// Conversions between dialects: nothing is lost, what cannot be right is refused, verify agrees.
#include "quantize/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "checkpoint/checkpoint.h"
#include "quantize/checkpoint_fixture.h"
#include "quantize/verify.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using test::quantized;
using testing::HasSubstr;

class ConvertTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }

  ConvertJob job(const std::string& in, const std::string& out, const std::string& dialect) {
    ConvertJob made;
    made.source = in.starts_with("/") ? in : path(in);
    made.destination = path(out);
    made.dialect = dialect;
    return made;
  }
  ConvertReport converted(const ConvertJob& made) {
    auto report = run_convert(made);
    EXPECT_TRUE(report) << (report ? std::string() : report.error().to_string());
    return report ? *report : ConvertReport{};
  }
  std::string refusal(const ConvertJob& made) {
    const auto report = run_convert(made);
    EXPECT_FALSE(report) << made.destination;
    EXPECT_FALSE(fs::exists(made.destination));
    EXPECT_FALSE(fs::exists(made.destination + ".partial"));
    return report ? std::string() : report.error().message;
  }
  void quantize_micro(const std::string& name, const std::string& dialect = "compressed-tensors") {
    QuantizeJob made = test::nano_job(path(name));
    made.source = micro();
    made.dialect = dialect;
    quantized(made);
  }
  static std::string micro() { return test::source_path("tests/data/model/micro_r3"); }

  void expect_verified(const std::string& folder, const std::string& source) {
    const auto report =
        verify_checkpoint(path(folder), source.starts_with("/") ? source : path(source));
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_TRUE(report->ok()) << verify_text(*report);
    EXPECT_GT(report->n_identical_tensors + report->matrices.size(), 0u);
  }
  // The stored tensors of a folder of one shard: name and bytes.
  static std::map<std::string, std::string> stored_tensors(const std::string& folder) {
    const auto bytes = read_file(folder + "/model.safetensors");
    EXPECT_TRUE(bytes) << folder;
    std::map<std::string, std::string> tensors;
    if (!bytes) return tensors;
    const auto n_header = load_le<uint64_t>(bytes->data());
    const Json header = Json::parse(bytes->substr(8, n_header));
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      const uint64_t begin = entry["data_offsets"][0];
      const uint64_t end = entry["data_offsets"][1];
      tensors[name] = bytes->substr(8 + n_header + begin, end - begin);
    }
    return tensors;
  }
  void expect_equal_tensors(const std::string& a, const std::string& b) {
    const auto left = stored_tensors(a);
    const auto right = stored_tensors(path(b));
    EXPECT_EQ(left.size(), right.size());
    for (const auto& [name, bytes] : left) {
      ASSERT_EQ(right.count(name), 1u) << name;
      EXPECT_TRUE(bytes == right.at(name)) << name;
    }
  }

  test::TemporaryFolder folder_;
};

TEST_F(ConvertTest, GoesRoundWithoutLoss) {
  quantize_micro("ct");
  const ConvertReport there = converted(job("ct", "mo", "modelopt"));
  EXPECT_EQ(there.n_quantized, 31u);
  EXPECT_EQ(there.n_dequantized + there.n_rescaled + there.n_moved_scales, 0u);
  converted(job("mo", "ct2", "compressed-tensors"));
  expect_equal_tensors(path("ct"), "ct2");
  const ConvertReport to_gguf = converted(job("ct", "x.gguf", "gguf"));
  EXPECT_GT(to_gguf.left_out.size(), 0u);
  for (const std::string& name : to_gguf.left_out) EXPECT_THAT(name, HasSubstr("visual"));
  converted(job("x.gguf", "ct3", "compressed-tensors"));
  expect_verified("mo", "ct");
  expect_verified("x.gguf", "ct");
  expect_verified("x.gguf", micro());
  expect_verified("ct3", "x.gguf");
  expect_verified("ct2", micro());
}

TEST_F(ConvertTest, QuantizesIntoGguf) {
  quantize_micro("ct");
  quantize_micro("direct.gguf", "gguf");
  converted(job("ct", "x.gguf", "gguf"));
  expect_verified("direct.gguf", micro());
  expect_verified("direct.gguf", "ct");
  expect_verified("x.gguf", "direct.gguf");
}

TEST_F(ConvertTest, ConvertsUnquantizedWeights) {
  converted(job(micro(), "x.gguf", "gguf"));
  expect_verified("x.gguf", micro());
  converted(job("x.gguf", "back", "hf"));
  expect_verified("back", "x.gguf");
  ConvertJob small = job(micro(), "q8.gguf", "gguf");
  small.plain_type = "q8_0";
  converted(small);
  expect_verified("q8.gguf", micro());
  EXPECT_THAT(refusal(job("q8.gguf", "plain", "hf")), HasSubstr("--dequantize"));
  ConvertJob decoded = job("q8.gguf", "plain", "hf");
  decoded.dequantize = true;
  EXPECT_GT(converted(decoded).n_dequantized, 0u);
  expect_verified("plain", "q8.gguf");
}

TEST_F(ConvertTest, VerifyFindsWrongHeads) {
  quantize_micro("ct");
  converted(job("ct", "x.gguf", "gguf"));
  // Swap two rows of a matrix that runs over value heads: a reader that forgets the order does so.
  auto bytes = read_file(path("x.gguf"));
  ASSERT_TRUE(bytes);
  const size_t a = bytes->size() - 3000;
  std::swap((*bytes)[a], (*bytes)[a + 1500]);
  (*bytes)[a] = static_cast<char>((*bytes)[a] ^ 0x11);
  std::ofstream(path("bad.gguf"), std::ios::binary) << *bytes;
  const auto report = verify_checkpoint(path("bad.gguf"), path("ct"));
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->ok());
}

TEST_F(ConvertTest, DequantizesOnlyWhenAsked) {
  quantize_micro("ct");
  EXPECT_THAT(refusal(job("ct", "plain", "hf")), HasSubstr("--dequantize"));
  ConvertJob decoded = job("ct", "plain", "hf");
  decoded.dequantize = true;
  EXPECT_EQ(converted(decoded).n_dequantized, 31u);
  expect_verified("plain", "ct");
  const auto opened = Checkpoint::open(path("plain"));
  ASSERT_TRUE(opened);
  EXPECT_EQ((*opened)->dialect(), "hf");
  EXPECT_THAT(refusal(job("plain", "again", "modelopt")), HasSubstr("nibble quantize"));
  ConvertJob typed = job("ct", "typed", "modelopt");
  typed.plain_type = "f16";
  EXPECT_THAT(refusal(typed), HasSubstr("gguf only"));
}

// Multiplies the tensor scale of a ModelOpt matrix.
void scale_matrix(const std::string& folder, const std::string& module, float factor) {
  const std::string name = module + ".weight_scale_2";
  const test::StoredPlace place = test::place_of(folder, name);
  auto bytes = read_file(place.path);
  ASSERT_TRUE(bytes);
  const auto scale = load_le<float>(bytes->data() + place.offset) * factor;
  store_le(bytes->data() + place.offset, scale);
  std::ofstream(place.path, std::ios::binary) << *bytes;
}

TEST_F(ConvertTest, SharesScalesOnlyExactly) {
  const std::string up = "model.language_model.layers.0.mlp.up_proj";
  quantize_micro("mo", "modelopt");
  scale_matrix(path("mo"), up, 2.0f);
  const ConvertReport report = converted(job("mo", "ct", "compressed-tensors"));
  EXPECT_GT(report.n_rescaled, 0u);
  const auto before = *Checkpoint::open(path("mo"));
  const auto after = *Checkpoint::open(path("ct"));
  for (const char* name : {"layers.0.mlp.up_proj.weight", "layers.0.mlp.gate_proj.weight"}) {
    std::vector<float> a(64 * 64);
    std::vector<float> b(64 * 64);
    ASSERT_TRUE(before->read_rows_f32(*before->find(name), 0, 64, a));
    ASSERT_TRUE(after->read_rows_f32(*after->find(name), 0, 64, b));
    EXPECT_EQ(a, b) << name;
  }
  EXPECT_EQ(after->nvfp4(*after->find("layers.0.mlp.up_proj.weight")).tensor_scale,
            after->nvfp4(*after->find("layers.0.mlp.gate_proj.weight")).tensor_scale);

  scale_matrix(path("mo"), up, 1.5f);
  EXPECT_THAT(refusal(job("mo", "ct2", "compressed-tensors")), HasSubstr("--keep-unequal"));
  ConvertJob kept = job("mo", "ct2", "compressed-tensors");
  kept.keep_unequal = true;
  EXPECT_EQ(converted(kept).n_rescaled, 0u);
  EXPECT_EQ(converted(job("mo", "own.gguf", "gguf")).n_rescaled, 0u);
}

TEST_F(ConvertTest, RefusesBadScales) {
  quantize_micro("mo", "modelopt");
  const test::StoredPlace place =
      test::place_of(path("mo"), "model.language_model.layers.1.mlp.down_proj.weight_scale");
  auto bytes = read_file(place.path);
  ASSERT_TRUE(bytes);
  for (const char bad : {'\x7f', '\x81'}) {
    (*bytes)[place.offset + 2] = bad;
    std::ofstream(place.path, std::ios::binary) << *bytes;
    for (const char* dialect : {"compressed-tensors", "gguf"}) {
      const std::string out = std::string("out") + (dialect[0] == 'g' ? ".gguf" : "");
      EXPECT_THAT(refusal(job("mo", out, dialect)), HasSubstr("layers.1.mlp.down_proj.weight"));
    }
  }
}

TEST_F(ConvertTest, KeepsExportsOfOtherTools) {
  for (const char* name : {"llmcompressor-nvfp4a16-cut", "autoround-nvfp4-cut"}) {
    const std::string golden = test::golden_path(std::string("exports/") + name);
    REQUIRE_GOLDEN(golden);
    fs::create_directories(path(name));
    for (const char* file : {"config.json", "model.safetensors"}) {
      fs::copy_file(fs::path(golden) / file, fs::path(path(name)) / file);
    }
    EXPECT_THAT(refusal(job(name, "refused", "modelopt")), HasSubstr("in_proj_qkv"));
    ConvertJob kept = job(name, std::string(name) + "-ct", "compressed-tensors");
    kept.keep_unequal = true;
    converted(kept);
    expect_equal_tensors(path(name), std::string(name) + "-ct");
    const std::string file = std::string(name) + ".gguf";
    converted(job(name, file, "gguf"));
    expect_verified(file, name);
  }
}

}  // namespace
}  // namespace nibble

// Writing checkpoints: what comes back, what is carried over, how modules are described.
#include "checkpoint/writer.h"

#include <fnmatch.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <regex.h>
#include <sys/stat.h>

#include "checkpoint/testing/tiny_checkpoint.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using test::is_layer_linear;
using test::open_or_fail;
using test::read_text;

std::shared_ptr<const Checkpoint> nano() { return open_or_fail(test::source_path("models/nano")); }

void expect_same_matrix(const QuantizedMatrixView& a, const QuantizedMatrixView& b) {
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.cols, b.cols);
  EXPECT_TRUE(std::equal(a.codes.begin(), a.codes.end(), b.codes.begin(), b.codes.end()));
  EXPECT_TRUE(std::equal(a.scales.begin(), a.scales.end(), b.scales.begin(), b.scales.end()));
  EXPECT_EQ(a.tensor_scale, b.tensor_scale);
  EXPECT_EQ(a.input_scale, b.input_scale);
}

class WriterRoundTrip : public testing::TestWithParam<const char*> {};

TEST_P(WriterRoundTrip, GivesBackEveryBit) {
  const auto source = nano();
  const test::TemporaryFolder folder;
  WriterOptions options;
  options.dialect = GetParam();
  options.max_shard_bytes = 4'000'000;
  const Status status = test::quantize_folder(source, folder.path("out"), options, is_layer_linear);
  ASSERT_TRUE(status) << status.error().to_string();
  EXPECT_FALSE(fs::exists(folder.path("out.partial")));
  EXPECT_TRUE(fs::exists(folder.path("out/model-00001-of-00005.safetensors")));
  const auto written = open_or_fail(folder.path("out"));
  ASSERT_NE(written, nullptr);
  EXPECT_EQ(written->dialect(), GetParam());
  EXPECT_TRUE(check_scales(*written));
  ASSERT_EQ(written->tensors().size(), source->tensors().size());
  for (const TensorInfo& tensor : source->tensors()) {
    const TensorInfo* found = written->find(tensor.name);
    ASSERT_NE(found, nullptr) << tensor.name;
    EXPECT_EQ(found->stored_name, tensor.stored_name);
    EXPECT_EQ(found->shape, tensor.shape);
    if (is_layer_linear(tensor)) {
      ASSERT_EQ(found->storage, Storage::kNvfp4);
      expect_same_matrix(written->nvfp4(*found), test::quantize_plainly(*source, tensor).view());
    } else {
      const TensorView before = source->plain(tensor);
      const TensorView after = written->plain(*found);
      EXPECT_EQ(before.dtype, after.dtype);
      EXPECT_TRUE(std::equal(before.bytes.begin(), before.bytes.end(), after.bytes.begin(),
                             after.bytes.end()));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dialects, WriterRoundTrip,
                         testing::Values("compressed-tensors", "modelopt"));

TEST(Writer, TranscodesBetweenDialects) {
  const test::TemporaryFolder folder;
  WriterOptions options;
  ASSERT_TRUE(
      test::quantize_folder(nano(), folder.path("ct"), options, is_layer_linear, 0.00390625f));
  const auto first = open_or_fail(folder.path("ct"));
  options.dialect = "modelopt";
  auto none = [](const TensorInfo&) { return false; };
  ASSERT_TRUE(test::quantize_folder(first, folder.path("mo"), options, none));
  const auto second = open_or_fail(folder.path("mo"));
  options.dialect = "compressed-tensors";
  ASSERT_TRUE(test::quantize_folder(second, folder.path("ct2"), options, none));
  const auto third = open_or_fail(folder.path("ct2"));
  EXPECT_EQ(second->dialect(), "modelopt");
  EXPECT_EQ(third->dialect(), "compressed-tensors");
  for (const TensorInfo& tensor : first->tensors()) {
    if (tensor.storage != Storage::kNvfp4) continue;
    const QuantizedMatrixView matrix = first->nvfp4(tensor);
    EXPECT_EQ(matrix.input_scale, 0.00390625f);
    expect_same_matrix(matrix, second->nvfp4(*second->find(tensor.name)));
    expect_same_matrix(matrix, third->nvfp4(*third->find(tensor.name)));
  }
  // A second description would contradict the first.
  EXPECT_TRUE(fs::exists(folder.path("mo/hf_quant_config.json")));
  EXPECT_FALSE(fs::exists(folder.path("ct2/hf_quant_config.json")));
  EXPECT_EQ(first->config().dump(), third->config().dump());
}

TEST(Writer, CarriesEveryOtherFileOver) {
  const test::TemporaryFolder folder;
  const std::string from = folder.path("in");
  fs::copy(test::source_path("models/nano"), from, fs::copy_options::recursive);
  fs::permissions(from, fs::perms::owner_all);
  fs::create_directories(from + "/assets/deep");
  fs::create_directories(from + "/.git");
  test::write_text(from + "/.git/HEAD", "ref");
  test::write_text(from + "/assets/deep/x.bin", std::string("\0\1\xff", 3));
  test::write_text(from + "/LICENSE", "text\r\n");
  test::write_text(from + "/.gitattributes", "*.safetensors\n");
  test::write_text(from + "/vocab.bin", "kept");
  test::write_text(from + "/pytorch_model-00001-of-00002.bin", "weights");
  test::write_text(from + "/model.gguf", "weights");
  test::write_text(from + "/stray.safetensors", "weights");
  fs::create_symlink(folder.path("outside.txt"), from + "/linked.txt");
  test::write_text(folder.path("outside.txt"), "behind a link");
  Json config = nano()->config();
  config["our_unknown"] = Json::parse(R"({"z": [1, 2.5, null], "a": "\u00e9"})");
  config["text_config"]["unknown_too"] = 1e-6;
  config["quantization_config"] = nullptr;
  fs::permissions(from + "/config.json", fs::perms::owner_all);
  test::write_text(from + "/config.json", dump_json(config));
  const auto source = open_or_fail(from);
  ASSERT_TRUE(test::quantize_folder(source, folder.path("out"), {}, is_layer_linear));

  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder.path("out"))) {
    if (!entry.is_regular_file()) continue;
    names.push_back(fs::relative(entry.path(), folder.path("out")).string());
    const std::string& name = names.back();
    if (name == "config.json" || name == "model.safetensors") continue;
    EXPECT_TRUE(read_text(entry.path()) == read_text(from + "/" + name)) << name;
    struct stat info {};
    ASSERT_EQ(::stat(entry.path().c_str(), &info), 0);
    const mode_t mask = ::umask(0);
    ::umask(mask);
    EXPECT_EQ(info.st_mode & 0777, 0666 & ~mask) << name;
  }
  EXPECT_THAT(names, testing::IsSupersetOf(
                         {".gitattributes", "LICENSE", "assets/deep/x.bin", "chat_template.jinja",
                          "config.json", "generation_config.json", "linked.txt",
                          "model.safetensors", "preprocessor_config.json", "tokenizer.json",
                          "tokenizer_config.json", "video_preprocessor_config.json", "vocab.bin"}));
  for (const char* name : {".git/HEAD", "pytorch_model-00001-of-00002.bin", "model.gguf",
                           "stray.safetensors", "model.safetensors.index.json"}) {
    EXPECT_THAT(names, testing::Not(testing::Contains(name)));
  }
  Json written = open_or_fail(folder.path("out"))->config();
  written["quantization_config"] = nullptr;
  EXPECT_EQ(written.dump(), config.dump());
}

// Whether the pattern matches from the start of the text, as Python's re.match does.
bool matches_at_start(const std::string& pattern, const std::string& text) {
  regex_t compiled;
  EXPECT_EQ(::regcomp(&compiled, pattern.c_str(), REG_EXTENDED), 0) << pattern;
  regmatch_t found = {};
  const bool matched = ::regexec(&compiled, text.c_str(), 1, &found, 0) == 0 && found.rm_so == 0;
  ::regfree(&compiled);
  return matched;
}

// Whether a list, as compressed-tensors reads it, names the module.
bool ignored_by_patterns(const Json& ignore, const std::string& module) {
  for (const Json& entry : ignore) {
    const std::string text = entry.get<std::string>();
    const bool is_pattern = text.starts_with("re:");
    if (is_pattern ? matches_at_start(text.substr(3), module) : text == module) return true;
  }
  return false;
}

bool ignored_by_globs(const Json& ignore, const std::string& module) {
  for (const Json& entry : ignore) {
    if (::fnmatch(entry.get<std::string>().c_str(), module.c_str(), 0) == 0) return true;
  }
  return false;
}

using Choice = bool (*)(const TensorInfo&);
struct Recipe {
  const char* name;
  Choice choose;
};

bool all_but_some_layers(const TensorInfo& tensor) {
  return is_layer_linear(tensor) && !tensor.name.starts_with("layers.3.") &&
         !tensor.name.starts_with("layers.1.linear_attn.") &&
         !tensor.name.starts_with("layers.5.mlp.down_proj");
}
bool all_and_head(const TensorInfo& tensor) {
  return is_layer_linear(tensor) || tensor.name == "lm_head.weight";
}
bool attention_only(const TensorInfo& tensor) {
  return is_layer_linear(tensor) && tensor.name.find("self_attn") != std::string::npos;
}

class IgnoreLists : public testing::TestWithParam<Recipe> {};

TEST_P(IgnoreLists, NameExactlyWhatIsNotQuantized) {
  const auto source = nano();
  for (const std::string dialect : {"compressed-tensors", "modelopt"}) {
    const test::TemporaryFolder folder;
    WriterOptions options;
    options.dialect = dialect;
    ASSERT_TRUE(test::quantize_folder(source, folder.path("out"), options, GetParam().choose));
    const auto written = open_or_fail(folder.path("out"));
    const Json& section = written->config().at("quantization_config");
    for (const TensorInfo& tensor : written->tensors()) {
      if (!tensor.stored_name.ends_with(".weight") || tensor.shape.size() < 2) continue;
      const std::string module = tensor.stored_name.substr(0, tensor.stored_name.size() - 7);
      const bool ignored = dialect == "modelopt"
                               ? ignored_by_globs(section.at("ignore"), module)
                               : ignored_by_patterns(section.at("ignore"), module);
      EXPECT_EQ(ignored, tensor.storage == Storage::kPlain) << dialect << " " << module;
    }
    if (dialect != "modelopt") continue;
    const Json file = Json::parse(read_text(folder.path("out/hf_quant_config.json")));
    EXPECT_EQ(file.at("quantization").at("exclude_modules"), section.at("ignore"));
    EXPECT_EQ(file.at("quantization").at("group_size"), 16);
    EXPECT_TRUE(file.at("quantization").at("kv_cache_quant_algo").is_null());
  }
}

INSTANTIATE_TEST_SUITE_P(Recipes, IgnoreLists,
                         testing::Values(Recipe{"all", is_layer_linear},
                                         Recipe{"mlp", test::is_mlp},
                                         Recipe{"some_layers", all_but_some_layers},
                                         Recipe{"head", all_and_head},
                                         Recipe{"attention", attention_only}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Writer, DescribesWeightOnlyCompressedTensors) {
  const test::TemporaryFolder folder;
  ASSERT_TRUE(test::quantize_folder(nano(), folder.path("out"), {}, is_layer_linear));
  const Json section = open_or_fail(folder.path("out"))->config().at("quantization_config");
  EXPECT_EQ(section.at("quant_method"), "compressed-tensors");
  EXPECT_EQ(section.at("format"), "nvfp4-pack-quantized");
  EXPECT_EQ(section.at("quantization_status"), "compressed");
  const Json& group = section.at("config_groups").at("group_0");
  EXPECT_EQ(group.at("targets"), Json::array({"Linear"}));
  EXPECT_TRUE(group.at("input_activations").is_null());
  EXPECT_EQ(group.at("weights").at("strategy"), "tensor_group");
  EXPECT_EQ(section.at("ignore"),
            Json::array({"lm_head", "re:.*lm_head", "re:.*embed_tokens$",
                         "re:.*linear_attn\\.(conv1d|in_proj_a|in_proj_b|in_proj_ba)$",
                         "re:.*visual.*", "re:^mtp.*", "re:.*mtp\\..*"}));
}

TEST(Writer, DescribesActivationScalesAndTheHead) {
  const test::TemporaryFolder folder;
  WriterOptions options;
  ASSERT_TRUE(test::quantize_folder(nano(), folder.path("ct"), options, all_and_head, 0.25f));
  const Json ct = open_or_fail(folder.path("ct"))->config().at("quantization_config");
  const Json& group = ct.at("config_groups").at("group_0");
  EXPECT_EQ(group.at("targets"), Json::array({"Linear", "re:.*lm_head"}));
  EXPECT_EQ(group.at("input_activations").at("dynamic"), "local");
  EXPECT_THAT(ct.at("ignore").dump(), testing::Not(testing::HasSubstr("lm_head")));
  options.dialect = "modelopt";
  ASSERT_TRUE(test::quantize_folder(nano(), folder.path("mo"), options, all_and_head, 0.25f));
  const Json mo = open_or_fail(folder.path("mo"))->config().at("quantization_config");
  EXPECT_EQ(mo.at("quant_algo"), "NVFP4");
  EXPECT_EQ(mo.at("config_groups").at("group_0").at("input_activations").at("num_bits"), 4);
}

TEST(Writer, DescribesModelOptByFullNames) {
  const test::TemporaryFolder folder;
  WriterOptions options;
  options.dialect = "modelopt";
  ASSERT_TRUE(test::quantize_folder(nano(), folder.path("mlp"), options, test::is_mlp));
  const Json mlp = open_or_fail(folder.path("mlp"))->config().at("quantization_config");
  EXPECT_EQ(mlp.at("quant_algo"), "W4A16_NVFP4");
  EXPECT_EQ(mlp.at("ignore"), Json::array({"lm_head", "model.language_model.embed_tokens",
                                           "*linear_attn*", "*self_attn*", "model.visual*",
                                           "*visual*", "mtp.layers.0*", "mtp.fc", "mtp*"}));
  ASSERT_TRUE(test::quantize_folder(nano(), folder.path("all"), options, is_layer_linear));
  const Json all = open_or_fail(folder.path("all"))->config().at("quantization_config");
  EXPECT_THAT(all.at("ignore"),
              testing::Contains("model.language_model.layers.6.linear_attn.in_proj_b"));
}

TEST(Writer, WithoutQuantizedMatricesDescribesNothing) {
  const test::TemporaryFolder folder;
  auto none = [](const TensorInfo&) { return false; };
  ASSERT_TRUE(test::quantize_folder(nano(), folder.path("out"), {}, none));
  const auto copy = open_or_fail(folder.path("out"));
  EXPECT_EQ(copy->dialect(), "hf");
  EXPECT_EQ(copy->config().dump(), nano()->config().dump());
}

TEST(Writer, RefusesInexactTensorScalesInCompressedTensors) {
  const auto source = nano();
  std::vector<PlannedTensor> plan;
  const TensorInfo* head = source->find("lm_head.weight");
  for (const TensorInfo& tensor : source->tensors()) {
    if (&tensor == head) plan.insert(plan.begin(), {&tensor, WeightTarget::kNvfp4});
    if (&tensor != head) plan.push_back({&tensor});
  }
  QuantizedMatrix matrix = test::quantize_plainly(*source, *head);
  matrix.tensor_scale = std::bit_cast<float>(0x38479e7au);  // 1 / (1 / s) is one unit more
  for (const std::string_view dialect : writable_dialects()) {
    if (dialect == "gguf") continue;  // one file, which stores multipliers
    const test::TemporaryFolder folder;
    WriterOptions options;
    options.dialect = dialect;
    auto writer = CheckpointWriter::create(source, plan, folder.path("out"), options);
    ASSERT_TRUE(writer) << writer.error().to_string();
    const Status status = (*writer)->write_nvfp4(matrix.view());
    if (dialect == "modelopt") {
      EXPECT_TRUE(status);
      continue;
    }
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(status.error().subject, "lm_head.weight");
  }
}

}  // namespace
}  // namespace nibble

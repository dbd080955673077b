// GGUF files written from folders, and folders from GGUF files: bytes, values, names and refusals.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "checkpoint/grouped_matrix.h"
#include "checkpoint/testing/tiny_checkpoint.h"
#include "checkpoint/writer.h"
#include "core/bytes.h"
#include "formats/gguf.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kMicro = "tests/data/model/micro_r3";  // 2 key heads, 6 value heads

Status convert(const std::shared_ptr<const Checkpoint>& source, const std::string& destination,
               const WriterOptions& options, WeightTarget quantized = WeightTarget::kKeep) {
  std::vector<PlannedTensor> plan;
  for (const TensorInfo& tensor : source->tensors()) {
    plan.push_back({&tensor, tensor.storage == Storage::kPlain ? WeightTarget::kKeep : quantized});
  }
  ASSIGN_OR_RETURN(auto writer, CheckpointWriter::create(source, plan, destination, options));
  for (size_t i = 0; i < writer->plan().size(); ++i) RETURN_IF_ERROR(writer->write_source());
  EXPECT_EQ(writer->n_written_bytes(), writer->total_bytes());
  return writer->finish();
}

WriterOptions to(const std::string& dialect, PlainType plain_type = PlainType::kKeep) {
  WriterOptions options;
  options.dialect = dialect;
  options.plain_type = plain_type;
  return options;
}

void expect_ok(const Status& status) {
  EXPECT_TRUE(status) << (status ? std::string() : status.error().to_string());
}

GgufFile open_file(const std::string& path) {
  auto file = GgufFile::open(path);
  EXPECT_TRUE(file) << file.error().to_string();
  return *std::move(file);
}

const GgufTensor& tensor_of_file(const GgufFile& file, const std::string& name) {
  for (const GgufTensor& tensor : file.header().tensors) {
    if (tensor.name == name) return tensor;
  }
  ADD_FAILURE() << name << " is not in the file";
  return file.header().tensors.front();
}

std::vector<float> floats_of(const GgufFile& file, const std::string& name) {
  const auto bytes = file.bytes(tensor_of_file(file, name));
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

std::vector<float> values_of(const Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo* tensor = checkpoint.find(name);
  EXPECT_NE(tensor, nullptr) << name;
  if (tensor == nullptr) return {};
  std::vector<float> values(*n_elements(tensor->shape));
  expect_ok(checkpoint.read_rows_f32(*tensor, 0, tensor->shape[0], values));
  return values;
}

template <typename T>
T field(const GgufFile& file, const std::string& key) {
  const GgufValue* value = file.header().find(key);
  EXPECT_NE(value, nullptr) << key;
  return value == nullptr ? T{} : std::get<T>(*value);
}

// One matrix of NVFP4 whose every byte is known, with an embedding beside it.
std::string write_worked_example(const test::TemporaryFolder& folder, uint64_t cols = 64) {
  const Json config = Json::parse(test::read_text(test::source_path(kMicro) + "/config.json"));
  const std::vector<uint8_t> codes = {0x20, 0x42, 0x64, 0x76, 0xA8, 0xCA, 0xEC, 0xFE,
                                      0xD7, 0x23, 0x18, 0x60, 0xE4, 0x02, 0x28, 0x64,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0xB3, 0x12, 0x09, 0,    0,    0,    0,    0x30};
  const std::vector<uint8_t> scales = {0x7E, 0x58, 0x38, 0x01};
  const std::string module = "model.language_model.layers.0.mlp.gate_proj";
  std::vector<test::OwnedTensor> tensors = {
      test::filled("model.language_model.embed_tokens.weight", DType::kBF16, {4, 64}, 0x3c),
      test::tensor_of(module + ".weight_packed", DType::kU8, {1, cols / 2},
                      std::vector(codes.begin(), codes.begin() + static_cast<ptrdiff_t>(cols / 2))),
      test::tensor_of(
          module + ".weight_scale", DType::kF8E4M3, {1, cols / 16},
          std::vector(scales.begin(), scales.begin() + static_cast<ptrdiff_t>(cols / 16))),
      test::tensor_of<float>(module + ".weight_global_scale", DType::kF32, {1}, {65536.0f})};
  Json quantized = config;
  quantized["quantization_config"] = Json::parse(R"({
      "quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized",
      "config_groups": {"group_0": {"targets": ["Linear"], "format": "nvfp4-pack-quantized",
        "weights": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16,
                    "symmetric": true, "dynamic": false}}}, "ignore": []})");
  test::write_checkpoint(folder.path("in"), quantized, tensors);
  return folder.path("in");
}

TEST(GgufOutput, PacksCodesAndScalesIntoBlocks) {
  const test::TemporaryFolder folder;
  const auto source = test::open_or_fail(write_worked_example(folder));
  ASSERT_NE(source, nullptr);
  expect_ok(convert(source, folder.path("out.gguf"), to("gguf")));
  const GgufFile file = open_file(folder.path("out.gguf"));
  const std::vector<uint8_t> expected = {0x7E, 0x58, 0x38, 0x01, 0x80, 0xA2, 0xA2, 0xC4, 0xC4,
                                         0xE6, 0xE6, 0xF7, 0x47, 0xED, 0x23, 0x02, 0x88, 0x21,
                                         0x40, 0x66, 0,    0,    0,    0,    0,    0,    0,
                                         0,    0x03, 0x0B, 0x02, 0x01, 0x09, 0,    0,    0x30};
  const GgufTensor& matrix = tensor_of_file(file, "blk.0.ffn_gate.weight");
  EXPECT_EQ(matrix.type, GgufType::kNvfp4);
  EXPECT_EQ(matrix.shape, (Shape{1, 64}));
  const auto bytes = file.bytes(matrix);
  ASSERT_EQ(bytes.size(), expected.size());
  EXPECT_EQ(std::memcmp(bytes.data(), expected.data(), expected.size()), 0);
  EXPECT_EQ(tensor_of_file(file, "blk.0.ffn_gate.scale").shape, (Shape{1}));
  EXPECT_EQ(floats_of(file, "blk.0.ffn_gate.scale"), std::vector{0x1p-16f});
  EXPECT_EQ(field<uint32_t>(file, "general.file_type"), 39u);
}

TEST(GgufOutput, ChangesValuesAsReadersExpect) {
  const test::TemporaryFolder folder;
  const auto source = test::open_or_fail(test::source_path(kMicro));
  expect_ok(convert(source, folder.path("out.gguf"), to("gguf")));
  const GgufFile file = open_file(folder.path("out.gguf"));

  const auto norm = values_of(*source, "layers.0.input_layernorm.weight");
  const auto stored_norm = floats_of(file, "blk.0.attn_norm.weight");
  for (size_t i = 0; i < norm.size(); ++i) EXPECT_EQ(stored_norm[i], norm[i] + 1.0f);
  EXPECT_EQ(floats_of(file, "blk.0.ssm_norm.weight"),
            values_of(*source, "layers.0.linear_attn.norm.weight"));

  // Value heads are tiled: first of each key head, then the second, then the third.
  const std::vector<size_t> order = {0, 3, 1, 4, 2, 5};
  const auto logs = values_of(*source, "layers.0.linear_attn.A_log");
  const auto bias = values_of(*source, "layers.0.linear_attn.dt_bias");
  const auto stored_logs = floats_of(file, "blk.0.ssm_a");
  const auto stored_bias = floats_of(file, "blk.0.ssm_dt.bias");
  ASSERT_EQ(stored_logs.size(), order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    EXPECT_NEAR(stored_logs[i], -std::exp(logs[order[i]]), 1e-6f * std::abs(stored_logs[i]));
    EXPECT_EQ(stored_bias[i], bias[order[i]]);
  }
  const auto conv = values_of(*source, "layers.0.linear_attn.conv1d.weight");
  const auto stored_conv = floats_of(file, "blk.0.ssm_conv1d.weight");
  const Shape conv_shape = tensor_of_file(file, "blk.0.ssm_conv1d.weight").shape;
  EXPECT_EQ(conv_shape, (Shape{2 * 256 + 768, 4}));
  EXPECT_EQ(stored_conv[100], conv[100]);                              // a query channel
  EXPECT_EQ(stored_conv[(512 + 128) * 4], conv[(512 + 3 * 128) * 4]);  // head 1 is head 3

  // Columns of the output projection move by whole heads.
  const auto out = values_of(*source, "layers.0.linear_attn.out_proj.weight");
  const GgufTensor& stored_out = tensor_of_file(file, "blk.0.ssm_out.weight");
  EXPECT_EQ(stored_out.type, GgufType::kBF16);
  const auto word = load_le<uint16_t>(file.bytes(stored_out).data() + 2 * (768 + 128));
  EXPECT_EQ(bf16_to_f32(word), out[768 + 3 * 128]);
}

TEST(GgufOutput, StatesModelAndTokenizer) {
  const test::TemporaryFolder folder;
  const auto source = test::open_or_fail(test::source_path("models/nano"));
  expect_ok(convert(source, folder.path("out.gguf"), to("gguf")));
  const GgufFile file = open_file(folder.path("out.gguf"));
  EXPECT_EQ(field<std::string>(file, "general.architecture"), "qwen35");
  EXPECT_EQ(field<std::string>(file, "general.name"), "Nano");
  EXPECT_EQ(field<std::string>(file, "general.size_label"), "14M");
  EXPECT_EQ(field<uint32_t>(file, "general.file_type"), 32u);
  EXPECT_EQ(field<uint32_t>(file, "qwen35.block_count"), 9u);
  EXPECT_EQ(field<uint32_t>(file, "qwen35.nextn_predict_layers"), 1u);
  EXPECT_EQ(field<uint32_t>(file, "qwen35.rope.dimension_count"), 64u);
  EXPECT_EQ(field<uint32_t>(file, "qwen35.ssm.inner_size"), 512u);
  EXPECT_EQ(field<float>(file, "qwen35.rope.freq_base"), 1e7f);
  EXPECT_EQ(field<std::string>(file, "tokenizer.ggml.pre"), "qwen35");
  EXPECT_EQ(field<uint32_t>(file, "tokenizer.ggml.eos_token_id"), 8002u);
  EXPECT_EQ(field<uint32_t>(file, "tokenizer.ggml.padding_token_id"), 8000u);
  EXPECT_FALSE(field<bool>(file, "tokenizer.ggml.add_bos_token"));
  EXPECT_EQ(field<std::string>(file, "tokenizer.chat_template"),
            test::read_text(test::source_path("models/nano/chat_template.jinja")));
  const auto tokens =
      std::get<std::vector<std::string>>(field<GgufArray>(file, "tokenizer.ggml.tokens"));
  const auto kinds =
      std::get<std::vector<int32_t>>(field<GgufArray>(file, "tokenizer.ggml.token_type"));
  ASSERT_EQ(tokens.size(), 8192u);
  EXPECT_EQ(tokens[8002], "<|im_end|>");
  EXPECT_EQ(kinds[8002], 3);
  EXPECT_EQ(kinds[100], 1);
  EXPECT_EQ(tokens.back(), "[PAD8191]");
  EXPECT_EQ(kinds.back(), 5);
  const auto merges =
      std::get<std::vector<std::string>>(field<GgufArray>(file, "tokenizer.ggml.merges"));
  EXPECT_EQ(merges[1], "h e");
  EXPECT_EQ(tensor_of_file(file, "blk.8.nextn.eh_proj.weight").shape, (Shape{256, 512}));
  for (const GgufTensor& tensor : file.header().tensors) {
    EXPECT_THAT(tensor.name, testing::Not(HasSubstr("visual")));
  }
}

TEST(GgufOutput, StoresPlainMatricesAsAsked) {
  const test::TemporaryFolder folder;
  const auto source = test::open_or_fail(test::source_path(kMicro));
  const std::pair<PlainType, GgufType> types[] = {{PlainType::kBF16, GgufType::kBF16},
                                                  {PlainType::kF16, GgufType::kF16},
                                                  {PlainType::kF32, GgufType::kF32},
                                                  {PlainType::kQ8_0, GgufType::kQ8_0}};
  for (const auto& [plain, type] : types) {
    WriterOptions options = to("gguf", plain);
    options.force = true;
    expect_ok(convert(source, folder.path("out.gguf"), options));
    const GgufFile file = open_file(folder.path("out.gguf"));
    EXPECT_EQ(tensor_of_file(file, "token_embd.weight").type, type);
    EXPECT_EQ(tensor_of_file(file, "blk.0.ssm_out.weight").type, type);
    EXPECT_EQ(tensor_of_file(file, "blk.0.ssm_conv1d.weight").type, GgufType::kF32);
    EXPECT_EQ(tensor_of_file(file, "output_norm.weight").type, GgufType::kF32);
    const auto opened = test::open_or_fail(folder.path("out.gguf"));
    const auto mine = values_of(*opened, "layers.3.self_attn.k_proj.weight");
    const auto original = values_of(*source, "layers.3.self_attn.k_proj.weight");
    const float tolerance = plain == PlainType::kQ8_0  ? 5e-3f
                            : plain == PlainType::kF16 ? 1e-3f
                                                       : 0;
    for (size_t i = 0; i < mine.size(); ++i) ASSERT_NEAR(mine[i], original[i], tolerance) << i;
  }
}

TEST(GgufOutput, ComesBackUnchanged) {
  const test::TemporaryFolder folder;
  const auto source = test::open_or_fail(test::source_path(kMicro));
  expect_ok(convert(source, folder.path("a.gguf"), to("gguf")));
  expect_ok(convert(test::open_or_fail(folder.path("a.gguf")), folder.path("back"), to("hf")));
  const auto back = test::open_or_fail(folder.path("back"));
  ASSERT_NE(back, nullptr);
  EXPECT_EQ(back->dialect(), "hf");
  EXPECT_EQ(back->config()["architectures"][0], "Qwen3_5ForCausalLM");
  EXPECT_FALSE(back->config().contains("linear_value_head_order"));
  for (const TensorInfo& tensor : source->tensors()) {
    if (tensor.name.starts_with("visual.")) continue;
    const TensorInfo* again = back->find(tensor.name);
    ASSERT_NE(again, nullptr) << tensor.name;
    EXPECT_EQ(again->shape, tensor.shape) << tensor.name;
    EXPECT_EQ(again->dtype, tensor.dtype) << tensor.name;
    const auto a = values_of(*source, tensor.name);
    const auto b = values_of(*back, tensor.name);
    const bool is_log = tensor.name.ends_with("A_log");
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_NEAR(a[i], b[i], is_log ? 1e-6f : 0.0f) << tensor.name << " " << i;
    }
  }
  const TensorInfo* head = back->find("lm_head.weight");
  EXPECT_EQ(head->stored_name, "lm_head.weight");
  EXPECT_EQ(back->find("layers.0.mlp.up_proj.weight")->stored_name,
            "model.layers.0.mlp.up_proj.weight");
}

TEST(GgufOutput, CarriesQuantizedMatricesThere) {
  const test::TemporaryFolder folder;
  const auto plain = test::open_or_fail(test::source_path(kMicro));
  expect_ok(test::quantize_folder(plain, folder.path("ct"), {}, test::is_layer_linear, 0.25f));
  const auto ct = test::open_or_fail(folder.path("ct"));
  expect_ok(convert(ct, folder.path("x.gguf"), to("gguf")));
  const auto gguf = test::open_or_fail(folder.path("x.gguf"));
  expect_ok(convert(gguf, folder.path("mo"), to("modelopt")));
  expect_ok(
      convert(test::open_or_fail(folder.path("mo")), folder.path("ct2"), to("compressed-tensors")));
  const auto back = test::open_or_fail(folder.path("ct2"));
  size_t n_quantized = 0;
  for (const TensorInfo& tensor : ct->tensors()) {
    if (tensor.storage != Storage::kNvfp4) continue;
    ++n_quantized;
    const TensorInfo* again = back->find(tensor.name);
    ASSERT_NE(again, nullptr) << tensor.name;
    const QuantizedMatrixView a = ct->nvfp4(tensor);
    const QuantizedMatrixView b = back->nvfp4(*again);
    EXPECT_TRUE(std::equal(a.codes.begin(), a.codes.end(), b.codes.begin(), b.codes.end()));
    EXPECT_TRUE(std::equal(a.scales.begin(), a.scales.end(), b.scales.begin(), b.scales.end()));
    EXPECT_EQ(a.tensor_scale, b.tensor_scale);
    EXPECT_EQ(b.input_scale, 0.25f);
    // Grouped from the tiled file, they are the same without leaving it.
    const auto grouped = grouped_matrix(*gguf, *gguf->find(tensor.name));
    ASSERT_TRUE(grouped);
    const auto& c = std::get<QuantizedMatrixView>(grouped->source);
    EXPECT_TRUE(std::equal(a.codes.begin(), a.codes.end(), c.codes.begin(), c.codes.end()));
  }
  EXPECT_EQ(n_quantized, 3u * 3 + 4 + 4 * 3);
  expect_ok(convert(gguf, folder.path("hf"), to("hf"), WeightTarget::kDecode));
  const auto decoded = test::open_or_fail(folder.path("hf"));
  const auto mine = values_of(*decoded, "layers.1.linear_attn.out_proj.weight");
  const auto stored = values_of(*ct, "layers.1.linear_attn.out_proj.weight");
  for (size_t i = 0; i < mine.size(); ++i) {
    ASSERT_EQ(mine[i], bf16_to_f32(f32_to_bf16(stored[i]))) << i;
  }
}

TEST(GgufOutput, RefusesWhatItCannotHold) {
  const test::TemporaryFolder folder;
  const auto narrow = test::open_or_fail(write_worked_example(folder, 32));
  Status status = convert(narrow, folder.path("out.gguf"), to("gguf"));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().subject, "layers.0.mlp.gate_proj.weight");
  EXPECT_THAT(status.error().message, HasSubstr("multiple of 64"));

  const auto micro = test::open_or_fail(test::source_path(kMicro));
  auto planned_as = [&](const std::string& name, WeightTarget target) {
    std::vector<PlannedTensor> plan;
    for (const TensorInfo& tensor : micro->tensors()) {
      plan.push_back({&tensor, tensor.name == name ? target : WeightTarget::kKeep});
    }
    const auto writer = CheckpointWriter::create(micro, plan, folder.path("out.gguf"), to("gguf"));
    EXPECT_FALSE(writer);
    return writer ? std::string() : writer.error().message;
  };
  EXPECT_THAT(planned_as("layers.0.mlp.up_proj.weight", WeightTarget::kFp8Tensor),
              HasSubstr("FP8"));
  EXPECT_THAT(planned_as("embed_tokens.weight", WeightTarget::kNvfp4), HasSubstr("NVFP4"));
  EXPECT_FALSE(fs::exists(folder.path("out.gguf")));
  EXPECT_FALSE(fs::exists(folder.path("out.gguf.partial")));
}

TEST(GgufOutput, GuardsItsTarget) {
  const test::TemporaryFolder folder;
  const auto source = test::open_or_fail(test::source_path(kMicro));
  auto refused = [&](const std::string& name, bool force) {
    WriterOptions options = to("gguf");
    options.force = force;
    const Status status = convert(source, folder.path(name), options);
    EXPECT_FALSE(status) << name;
    return status ? ErrorCode::kInvalidArgument : status.error().code;
  };
  EXPECT_EQ(refused("folder", false), ErrorCode::kInvalidArgument);
  EXPECT_EQ(refused("no/such/x.gguf", false), ErrorCode::kNotFound);
  test::write_text(folder.path("mine.gguf"), "not a model");
  EXPECT_EQ(refused("mine.gguf", false), ErrorCode::kAlreadyExists);
  EXPECT_EQ(refused("mine.gguf", true), ErrorCode::kAlreadyExists);
  test::write_text(folder.path("x.gguf.partial"), "somebody's notes");
  EXPECT_EQ(refused("x.gguf", false), ErrorCode::kAlreadyExists);
  EXPECT_EQ(test::read_text(folder.path("x.gguf.partial")), "somebody's notes");

  // What a cut run left is taken over; what died unfinished leaves nothing.
  test::write_text(folder.path("x.gguf.partial"), "GGUF and then nothing");
  expect_ok(convert(source, folder.path("x.gguf"), to("gguf")));
  EXPECT_FALSE(fs::exists(folder.path("x.gguf.partial")));
  EXPECT_EQ(refused("x.gguf", false), ErrorCode::kAlreadyExists);
  const std::string before = test::read_text(folder.path("x.gguf"));
  {
    std::vector<PlannedTensor> plan;
    for (const TensorInfo& tensor : source->tensors()) plan.push_back({&tensor});
    WriterOptions options = to("gguf");
    options.force = true;
    auto writer = CheckpointWriter::create(source, plan, folder.path("x.gguf"), options);
    ASSERT_TRUE(writer);
    expect_ok((*writer)->write_source());
    EXPECT_TRUE(fs::exists(folder.path("x.gguf.partial")));
  }
  EXPECT_FALSE(fs::exists(folder.path("x.gguf.partial")));
  EXPECT_EQ(test::read_text(folder.path("x.gguf")), before);
}

}  // namespace
}  // namespace nibble

// The forward pass against the larger golden set: every layer, inner tensor and state of the
// bundled model, greedy continuations, per-token losses, and the random members of the family.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "model/model_test_fixture.h"
#include "model/tensor_table.h"

namespace nibble {
namespace {

using test::max_difference;

constexpr double kLogitTolerance = 1e-4;
constexpr double kHiddenTolerance = 1e-4;
constexpr double kRecurrentTolerance = 5e-6;
constexpr double kCacheTolerance = 5e-5;
constexpr double kRandomLogitTolerance = 2e-3;

// -log softmax(logits)[target], in double.
double negative_log_likelihood(std::span<const float> logits, int32_t target) {
  const double greatest = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - greatest);
  return std::log(sum) + greatest - static_cast<double>(logits[static_cast<size_t>(target)]);
}

// The reference keeps [channels, kernel] raw inputs, oldest first; the first of them is never used
// again. Ours are [kernel - 1, channels].
std::vector<float> conv_state_of(const TensorFile& golden, const std::string& name) {
  const auto stored = test::floats(golden, name);
  const size_t n_channels = golden.find(name)->shape[0];
  const size_t kernel = golden.find(name)->shape[1];
  std::vector<float> state((kernel - 1) * n_channels);
  for (size_t channel = 0; channel < n_channels; ++channel) {
    for (size_t m = 1; m < kernel; ++m) {
      state[(m - 1) * n_channels + channel] = stored[channel * kernel + m];
    }
  }
  return state;
}

// Compares whatever parts of a layer's state the file has; `name` stands before ".key".
void expect_state(const TensorFile& golden, const std::string& name, const SequenceState& state,
                  size_t layer, double recurrent_tolerance, double cache_tolerance) {
  if (golden.find(name + ".key")) {
    for (const std::string part : {"key", "value"}) {
      EXPECT_LT(
          max_difference(state.read(layer, part).value(), test::floats(golden, name + "." + part)),
          cache_tolerance)
          << name << "." << part;
    }
  }
  if (golden.find(name + ".recurrent")) {
    EXPECT_LT(max_difference(state.read(layer, "recurrent").value(),
                             test::floats(golden, name + ".recurrent")),
              recurrent_tolerance)
        << name;
    EXPECT_LT(
        max_difference(state.read(layer, "conv").value(), conv_state_of(golden, name + ".conv")),
        cache_tolerance)
        << name;
  }
}

// Columns [begin, end) of rows of n_cols values.
std::vector<float> columns(std::span<const float> rows, size_t n_cols, size_t begin, size_t end) {
  std::vector<float> out;
  for (size_t r = 0; r < rows.size(); r += n_cols) {
    const auto row = rows.subspan(r, n_cols);
    out.insert(out.end(), row.begin() + static_cast<std::ptrdiff_t>(begin),
               row.begin() + static_cast<std::ptrdiff_t>(end));
  }
  return out;
}

class ForwardGoldenTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { REQUIRE_GOLDEN(test::golden_path("forward")); }
  static std::string golden(const std::string& name) {
    return test::golden_path("forward/" + name);
  }
  test::LoadedModel nano() const {
    return test::open_model(test::source_path("models/nano"), GetParam());
  }
};

TEST_P(ForwardGoldenTest, LogitsOfEveryPrompt) {
  const auto file = test::open_golden(golden("logits_f32.safetensors"));
  const auto loaded = nano();
  ASSERT_NE(loaded.model, nullptr);
  const auto vocab_size = static_cast<size_t>(loaded.model->config().vocab_size);
  for (const std::string prompt : {"prose64", "chat", "one", "long300"}) {
    const auto tokens = test::ids(file, prompt + ".input_ids");
    auto state = loaded.model->new_state(tokens.size()).value();
    const auto logits = test::run(*loaded.model, *state, tokens);
    std::vector<float> picked;
    for (const int32_t position : test::ids(file, prompt + ".positions")) {
      const float* row = logits.data() + static_cast<size_t>(position) * vocab_size;
      picked.insert(picked.end(), row, row + vocab_size);
    }
    const double difference = max_difference(picked, test::floats(file, prompt + ".logits"));
    EXPECT_LT(difference, kLogitTolerance) << prompt;
    RecordProperty(prompt, std::to_string(difference));
  }
}

TEST_P(ForwardGoldenTest, HiddenStatesAndStatesOfEveryLayer) {
  const auto hidden = test::open_golden(golden("prose64_hidden.safetensors"));
  const auto states = test::open_golden(golden("prose64_state.safetensors"));
  const auto prompts = test::open_golden(golden("logits_f32.safetensors"));
  const auto loaded = nano();
  ASSERT_NE(loaded.model, nullptr);
  const auto tokens = test::ids(prompts, "prose64.input_ids");
  auto state = loaded.model->new_state(tokens.size() + 5).value();
  test::Recorder seen;
  test::run(*loaded.model, *state, tokens, {512}, &seen);
  for (const std::string& name : hidden.names()) {
    if (name == "input_ids") continue;
    EXPECT_LT(max_difference(seen.values[name], test::floats(hidden, name)), kHiddenTolerance)
        << name;
  }
  for (size_t layer = 0; layer < 8; ++layer) {
    expect_state(states, "layer." + std::to_string(layer), *state, layer, kRecurrentTolerance,
                 kCacheTolerance);
  }
}

TEST_P(ForwardGoldenTest, InnerTensors) {
  const auto file = test::open_golden(golden("prose64_inner.safetensors"));
  const auto prompts = test::open_golden(golden("logits_f32.safetensors"));
  const auto loaded = nano();
  ASSERT_NE(loaded.model, nullptr);
  const auto tokens = test::ids(prompts, "prose64.input_ids");
  auto state = loaded.model->new_state(tokens.size()).value();
  test::Recorder seen;
  test::run(*loaded.model, *state, tokens, {512}, &seen);
  // Their name, ours.
  const std::pair<std::string, std::string> pairs[] = {
      {"layer.0.input_layernorm", "layer.0.linear_attn.in"},
      {"layer.0.linear_attn.in_proj_qkv", "layer.0.linear_attn.in_proj_qkv"},
      {"layer.0.linear_attn.in_proj_z", "layer.0.linear_attn.in_proj_z"},
      {"layer.0.linear_attn.in_proj_a", "layer.0.linear_attn.in_proj_a"},
      {"layer.0.linear_attn.in_proj_b", "layer.0.linear_attn.in_proj_b"},
      {"layer.0.delta.g", "layer.0.linear_attn.decay"},
      {"layer.0.delta.beta", "layer.0.linear_attn.beta"},
      {"layer.0.delta.core_out", "layer.0.linear_attn.core_out"},
      {"layer.0.linear_attn.norm", "layer.0.linear_attn.out_proj.in"},
      {"layer.0.post_attention_layernorm", "layer.0.mlp.in"},
      {"layer.0.mlp.gate_proj", "layer.0.mlp.gate_proj"},
      {"layer.0.mlp.up_proj", "layer.0.mlp.up_proj"},
      {"layer.3.input_layernorm", "layer.3.self_attn.in"},
      {"layer.3.self_attn.q_proj", "layer.3.self_attn.q_proj"},
      {"layer.3.self_attn.k_proj", "layer.3.self_attn.k_proj"},
      {"layer.3.self_attn.v_proj", "layer.3.self_attn.v_proj"},
      {"layer.3.self_attn.q_norm", "layer.3.self_attn.q_norm"},
      {"layer.3.self_attn.k_norm", "layer.3.self_attn.k_norm"},
      {"layer.3.attn.query_rope", "layer.3.self_attn.q_rope"},
      {"layer.3.attn.gated_out", "layer.3.self_attn.o_proj.in"},
      {"layer.3.post_attention_layernorm", "layer.3.mlp.in"},
      {"layer.3.mlp.gate_proj", "layer.3.mlp.gate_proj"},
      {"layer.3.mlp.up_proj", "layer.3.mlp.up_proj"},
  };
  for (const auto& [theirs, ours] : pairs) {
    EXPECT_LT(max_difference(seen.values[ours], test::floats(file, theirs)), kHiddenTolerance)
        << ours;
  }
  const auto& mixed = seen.values["layer.0.linear_attn.conv"];
  EXPECT_LT(max_difference(columns(mixed, 1024, 0, 256), test::floats(file, "layer.0.delta.query")),
            kHiddenTolerance);
  EXPECT_LT(max_difference(columns(mixed, 1024, 256, 512), test::floats(file, "layer.0.delta.key")),
            kHiddenTolerance);
  EXPECT_LT(
      max_difference(columns(mixed, 1024, 512, 1024), test::floats(file, "layer.0.delta.value")),
      kHiddenTolerance);
}

TEST_P(ForwardGoldenTest, GreedyContinuations) {
  const Json cases = read_json_file(golden("greedy.json")).value().at("cases");
  const auto loaded = nano();
  ASSERT_NE(loaded.model, nullptr);
  ASSERT_EQ(cases.size(), 7u);
  for (const Json& one : cases) {
    const auto prompt = one.at("prompt_ids").get<std::vector<int32_t>>();
    const auto expected = one.at("output_ids").get<std::vector<int32_t>>();
    EXPECT_EQ(test::continue_greedily(*loaded.model, prompt, expected.size()), expected)
        << one.at("name");
  }
}

TEST_P(ForwardGoldenTest, LossesOfTheFirstWindows) {
  const auto file = test::open_golden(golden("nll.safetensors"));
  const auto loaded = nano();
  ASSERT_NE(loaded.model, nullptr);
  const auto tokens = test::ids(file, "input_ids");
  const auto expected = test::floats(file, "nll");
  const auto vocab_size = static_cast<size_t>(loaded.model->config().vocab_size);
  constexpr size_t kWindow = 512;
  auto state = loaded.model->new_state(kWindow).value();
  double scored = 0.0;
  double largest = 0.0;
  for (size_t w = 0; w < 8; ++w) {
    state->reset();
    const auto window = std::span(tokens).subspan(w * kWindow, kWindow);
    const auto logits = test::run(*loaded.model, *state, window);
    for (size_t i = 0; i + 1 < kWindow; ++i) {
      const double loss = negative_log_likelihood(
          std::span(logits).subspan(i * vocab_size, vocab_size), window[i + 1]);
      largest =
          std::max(largest, std::abs(loss - static_cast<double>(expected[w * (kWindow - 1) + i])));
      if (i >= kWindow / 2) scored += loss;
    }
  }
  EXPECT_LT(largest, 1e-4);
  EXPECT_NEAR(std::exp(scored / (8 * 255)), 34.53872, 5e-4);
}

// Each shows something that the bundled model does not.
TEST_P(ForwardGoldenTest, RandomMembersOfTheFamily) {
  for (const std::string member : {"r1-tied", "r3", "text-only", "layer-types", "interval2"}) {
    SCOPED_TRACE(member);
    const std::string folder = test::golden_path("micro/" + member);
    const test::TemporaryFolder copy;
    test::link_without_golden(folder, copy.path());
    const auto file = test::open_golden(folder + "/golden.safetensors");
    const auto loaded = test::open_model(copy.path(), GetParam());
    ASSERT_NE(loaded.model, nullptr);
    for (const std::string sequence : {"one", "text", "random150"}) {
      const auto tokens = test::ids(file, sequence + ".input_ids");
      auto state = loaded.model->new_state(tokens.size()).value();
      test::Recorder seen;
      const auto logits = test::run(*loaded.model, *state, tokens, {512}, &seen);
      EXPECT_LT(max_difference(logits, test::floats(file, sequence + ".logits")),
                kRandomLogitTolerance)
          << sequence;
      if (sequence != "text") continue;
      const auto n_layers = static_cast<size_t>(loaded.model->config().n_layers);
      for (size_t layer = 0; layer < n_layers; ++layer) {
        const std::string name = "layer." + std::to_string(layer);
        EXPECT_LT(max_difference(seen.values[name], test::floats(file, "text.hidden." + name)),
                  1e-3)
            << name;
        expect_state(file, "text.state." + name, *state, layer, 1e-4, 1e-3);
      }
    }
    const auto greedy = test::ids(file, "text.greedy_ids");
    EXPECT_EQ(
        test::continue_greedily(*loaded.model, test::ids(file, "text.input_ids"), greedy.size()),
        greedy);
  }
}

// Quantized checkpoints as other tools wrote them; the reference ran their dequantized weights.
TEST_P(ForwardGoldenTest, ExportsOfOtherTools) {
  struct Export {
    std::string name;
    std::string config = "config.json";  // AutoRound leaves the descriptions of both its exports
  };
  for (const auto& [name, config] :
       {Export{"llmcompressor-nvfp4"}, Export{"llmcompressor-nvfp4a16-cut"},
        Export{"llmcompressor-nvfp4-mlp-fp8kv-cut"}, Export{"llmcompressor-fp8-dynamic-cut"},
        Export{"modelopt-nvfp4"}, Export{"modelopt-mixed-fp8kv-cut"}, Export{"autoround-nvfp4-cut"},
        Export{"autoround-nvfp4-cut", "config.llm_compressor.json"}}) {
    SCOPED_TRACE(name + "/" + config);
    const std::string folder = test::golden_path("exports/" + name);
    const test::TemporaryFolder copy;
    test::link_without_golden(folder, copy.path());
    if (config != "config.json") {
      std::filesystem::rename(copy.path(config), copy.path("config.json"));
    }
    const auto file = test::open_golden(folder + "/golden.safetensors");
    const auto loaded = test::open_model(copy.path(), GetParam());
    ASSERT_NE(loaded.model, nullptr);
    const auto tokens = test::ids(file, "input_ids");
    auto state = loaded.model->new_state(tokens.size()).value();
    const auto logits = test::run(*loaded.model, *state, tokens);
    EXPECT_LT(max_difference(logits, test::floats(file, "logits_weight_only")), kLogitTolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, ForwardGoldenTest,
                         testing::ValuesIn(test::supported_implementations()));

}  // namespace
}  // namespace nibble

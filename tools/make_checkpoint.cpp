// Writes a checkpoint of random weights with the shapes of a real model: for measuring memory and
// speed without the real one. Built with -DBENCH=ON.
//
//   make_checkpoint SHAPE DIR [--layers N] [--seed N] [--shard-bytes N]
//
// Matrices are normal with the spread of trained ones (1 / sqrt(columns)), norms near zero, the
// small DeltaNet tensors in the ranges that training starts from. No vision tower, no MTP layer, no
// tokenizer.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "formats/safetensors.h"
#include "model/config.h"
#include "model/tensor_table.h"
#include "numbers/bf16.h"

namespace nibble {
namespace {

struct ModelShape {
  const char* name;
  int hidden, layers, intermediate, heads, kv_heads, value_heads;
  bool tied;
  int experts;  // 0: dense
};

constexpr std::array kShapes = {
    ModelShape{"0.8b", 1024, 24, 3584, 8, 2, 16, true, 0},
    ModelShape{"2b", 2048, 24, 6144, 8, 2, 16, true, 0},
    ModelShape{"4b", 2560, 32, 9216, 16, 4, 32, true, 0},
    ModelShape{"9b", 4096, 32, 12288, 16, 4, 32, false, 0},
    ModelShape{"27b", 5120, 64, 17408, 24, 4, 48, false, 0},
    ModelShape{"35b-a3b", 2048, 40, 512, 16, 2, 32, false, 256},
};

struct Options {
  const ModelShape* shape = nullptr;
  std::string folder;
  int layers = 0;
  uint64_t seed = 1;
  uint64_t shard_bytes = uint64_t{5} << 30;
};

Json config_json(const ModelShape& shape, int layers) {
  Json kinds = Json::array();
  for (int i = 0; i < layers; ++i) {
    kinds.push_back(i % 4 == 3 ? "full_attention" : "linear_attention");
  }
  const bool moe = shape.experts > 0;
  Json text = {{"model_type", moe ? "qwen3_5_moe_text" : "qwen3_5_text"},
               {"attention_bias", false},
               {"attn_output_gate", true},
               {"eos_token_id", 248044},
               {"full_attention_interval", 4},
               {"head_dim", 256},
               {"hidden_act", "silu"},
               {"hidden_size", shape.hidden},
               {"layer_types", std::move(kinds)},
               {"linear_conv_kernel_dim", 4},
               {"linear_key_head_dim", 128},
               {"linear_num_key_heads", 16},
               {"linear_num_value_heads", shape.value_heads},
               {"linear_value_head_dim", 128},
               {"max_position_embeddings", 262144},
               {"mtp_num_hidden_layers", 0},
               {"num_attention_heads", shape.heads},
               {"num_hidden_layers", layers},
               {"num_key_value_heads", shape.kv_heads},
               {"rms_norm_eps", 1e-6},
               {"rope_parameters",
                {{"mrope_interleaved", true},
                 {"mrope_section", {11, 11, 10}},
                 {"partial_rotary_factor", 0.25},
                 {"rope_theta", 10000000},
                 {"rope_type", "default"}}},
               {"tie_word_embeddings", shape.tied},
               {"vocab_size", 248320}};
  if (moe) {
    text["num_experts"] = shape.experts;
    text["num_experts_per_tok"] = 8;
    text["moe_intermediate_size"] = shape.intermediate;
    text["shared_expert_intermediate_size"] = shape.intermediate;
  } else {
    text["intermediate_size"] = shape.intermediate;
  }
  const char* architecture =
      moe ? "Qwen3_5MoeForConditionalGeneration" : "Qwen3_5ForConditionalGeneration";
  return Json{{"architectures", {architecture}},
              {"dtype", "bfloat16"},
              {"model_type", moe ? "qwen3_5_moe" : "qwen3_5"},
              {"text_config", std::move(text)},
              {"tie_word_embeddings", shape.tied}};
}

// A generator whose next 64 bits take a nanosecond.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ull;
    uint64_t x = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
  }

 private:
  uint64_t state_;
};

// 65,536 normal numbers times `spread`: drawing from them is one look-up a weight.
std::vector<uint16_t> normal_words(double spread, uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal(0.0, spread);
  std::vector<uint16_t> words(size_t{1} << 16);
  for (uint16_t& word : words) word = f32_to_bf16(static_cast<float>(normal(generator)));
  return words;
}

Status write_bf16(SafetensorsWriter& writer, size_t index, const Shape& shape, Random& random) {
  const uint64_t n = n_elements(shape).value_or(0);
  const bool is_vector = shape.size() == 1;
  const double spread = is_vector ? 0.05 : 1.0 / std::sqrt(static_cast<double>(shape.back()));
  const std::vector<uint16_t> table = normal_words(spread, random.next());
  std::vector<uint16_t> piece(size_t{1} << 21);
  for (uint64_t done = 0; done < n;) {
    const size_t taken = static_cast<size_t>(std::min<uint64_t>(piece.size(), n - done));
    for (size_t i = 0; i < taken; i += 4) {
      const uint64_t bits = random.next();
      for (size_t j = 0; j < 4; ++j) piece[i + j] = table[(bits >> (16 * j)) & 0xffff];
    }
    RETURN_IF_ERROR(writer.write(index, std::as_bytes(std::span(piece.data(), taken))));
    done += taken;
  }
  return {};
}

// A_log and dt_bias: the ranges of their initialization.
Status write_f32(SafetensorsWriter& writer, size_t index, const Shape& shape, Random& random) {
  std::vector<float> values(n_elements(shape).value_or(0));
  for (float& value : values) {
    value = std::log(1.0f + 15.0f * static_cast<float>(random.next() >> 40) * 0x1p-24f);
  }
  return writer.write(index, std::as_bytes(std::span(values)));
}

struct Shard {
  std::string name;
  std::vector<SafetensorsDeclaration> tensors;
};

std::vector<Shard> pack(const std::vector<TensorSpec>& table, uint64_t shard_bytes,
                        uint64_t& total) {
  std::vector<Shard> shards(1);
  uint64_t n_bytes = 0;
  for (const TensorSpec& spec : table) {
    const bool f32 = spec.name.ends_with(".A_log") || spec.name.ends_with(".dt_bias");
    const DType dtype = f32 ? DType::kF32 : DType::kBF16;
    const uint64_t size = n_elements(spec.shape).value_or(0) * dtype_bytes(dtype);
    if (n_bytes > 0 && n_bytes + size > shard_bytes) {
      shards.emplace_back();
      n_bytes = 0;
    }
    const bool head = spec.name.starts_with("lm_head");
    shards.back().tensors.push_back(
        {(head ? "" : "model.language_model.") + spec.name, dtype, spec.shape});
    n_bytes += size;
    total += size;
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    shards[i].name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  }
  return shards;
}

Status make(const Options& options) {
  const Json config =
      config_json(*options.shape, options.layers > 0 ? options.layers : options.shape->layers);
  ASSIGN_OR_RETURN(const ModelConfig model, parse_model_config(config, "config.json"));
  uint64_t total = 0;
  const std::vector<Shard> shards = pack(tensor_table(model), options.shard_bytes, total);
  std::filesystem::create_directories(options.folder);
  Json index = {{"metadata", {{"total_size", total}}}};
  SortedJson placement = SortedJson::object();
  Random random(options.seed);
  for (const Shard& shard : shards) {
    ASSIGN_OR_RETURN(SafetensorsWriter writer,
                     SafetensorsWriter::create(options.folder + "/" + shard.name, shard.tensors));
    for (size_t i = 0; i < shard.tensors.size(); ++i) {
      const SafetensorsDeclaration& tensor = shard.tensors[i];
      placement[tensor.name] = shard.name;
      RETURN_IF_ERROR(tensor.dtype == DType::kF32 ? write_f32(writer, i, tensor.shape, random)
                                                  : write_bf16(writer, i, tensor.shape, random));
    }
    RETURN_IF_ERROR(writer.finish());
  }
  index["weight_map"] = placement;
  RETURN_IF_ERROR(
      write_file_atomically(options.folder + "/model.safetensors.index.json", dump_json(index)));
  return write_file_atomically(options.folder + "/config.json", dump_json(config));
}

bool parse(const std::vector<std::string>& words, Options& options) {
  if (words.size() < 2 || words.size() % 2 != 0) return false;
  for (const ModelShape& shape : kShapes) {
    if (words[0] == shape.name) options.shape = &shape;
  }
  options.folder = words[1];
  for (size_t i = 2; i < words.size(); i += 2) {
    const uint64_t value = std::strtoull(words[i + 1].c_str(), nullptr, 10);
    if (words[i] == "--layers") {
      options.layers = static_cast<int>(value);
    } else if (words[i] == "--seed") {
      options.seed = value;
    } else if (words[i] == "--shard-bytes") {
      options.shard_bytes = value;
    } else {
      return false;
    }
  }
  return options.shape != nullptr;
}

}  // namespace
}  // namespace nibble

int main(int argc, char** argv) {
  nibble::Options options;
  if (!nibble::parse({argv + 1, argv + argc}, options)) {
    std::fputs(
        "usage: make_checkpoint 0.8b|2b|4b|9b|27b|35b-a3b DIR [--layers N] [--seed N] "
        "[--shard-bytes N]\n",
        stderr);
    return 2;
  }
  if (const nibble::Status status = nibble::make(options); !status) {
    std::fprintf(stderr, "%s\n", status.error().to_string().c_str());
    return 1;
  }
  return 0;
}

// Megabytes a second of encoding and decoding on one core, and the time to build a tokenizer.
// The texts are generated, so that every machine measures the same: English-like prose drawn by
// Zipf's law from the vocabulary, Chinese-like text, and one long word.
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "core/file.h"
#include "tokenizer/tokenizer.h"

namespace nibble {
namespace {

constexpr size_t kTextBytes = 1000000;

std::string nano_definition() {
  auto text = read_file(std::string(NIBBLE_SOURCE_DIR) + "/models/nano/tokenizer.json");
  return text ? *text : std::string();
}

// Words of the vocabulary itself, commoner ones (lower ids) more often, with some punctuation.
std::string english_text(const Tokenizer& tokenizer) {
  std::vector<std::string> words;
  for (int32_t id = 0; id < static_cast<int32_t>(tokenizer.size()); ++id) {
    const std::string_view bytes = tokenizer.token_bytes(id);
    bool is_word = bytes.size() > 1 && bytes[0] == ' ';
    for (const char c : bytes.substr(bytes.empty() ? 0 : 1)) is_word &= c >= 'a' && c <= 'z';
    if (is_word) words.emplace_back(bytes);
  }
  std::mt19937 random(1);
  std::string text;
  while (text.size() < kTextBytes) {
    const double u = std::generate_canonical<double, 32>(random);
    const auto rank = std::pow(static_cast<double>(words.size()), u) - 1;
    text += words[static_cast<size_t>(rank)];
    if (random() % 12 == 0) text += random() % 3 == 0 ? ".\n" : ",";
  }
  return text;
}

std::string chinese_text() {
  std::mt19937 random(1);
  std::string text;
  while (text.size() < kTextBytes) {
    const unsigned code_point = 0x4E00 + random() % 3000;
    text += static_cast<char>(0xE0 | code_point >> 12);
    text += static_cast<char>(0x80 | (code_point >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code_point & 0x3F));
    if (random() % 10 == 0) text += "\xEF\xBC\x8C";
  }
  return text;
}

void encode(benchmark::State& state, const std::string& text) {
  const auto tokenizer = Tokenizer::from_json(nano_definition(), "nano");
  size_t n_tokens = 0;
  for (auto _ : state) {
    const auto ids = tokenizer->encode(text);
    n_tokens = ids->size();
    benchmark::DoNotOptimize(n_tokens);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
  state.counters["tokens"] = static_cast<double>(n_tokens);
}

void encode_english(benchmark::State& state) {
  encode(state, english_text(*Tokenizer::from_json(nano_definition(), "nano")));
}
BENCHMARK(encode_english)->Unit(benchmark::kMillisecond);

void encode_chinese(benchmark::State& state) { encode(state, chinese_text()); }
BENCHMARK(encode_chinese)->Unit(benchmark::kMillisecond);

// No spaces and no repeated words: the queue of merges alone.
void encode_one_letter(benchmark::State& state) { encode(state, std::string(kTextBytes, 'a')); }
BENCHMARK(encode_one_letter)->Unit(benchmark::kMillisecond);

void decode_english(benchmark::State& state) {
  const auto tokenizer = Tokenizer::from_json(nano_definition(), "nano");
  const std::string text = english_text(*tokenizer);
  const auto ids = tokenizer->encode(text);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->decode(*ids));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(decode_english)->Unit(benchmark::kMillisecond);

void build(benchmark::State& state) {
  const std::string definition = nano_definition();
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::from_json(definition, "nano"));
}
BENCHMARK(build)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace nibble

// Damaged checkpoints, targets that cannot be written, and work that is cut short: one clear
// message, the documented exit code, and no output folder that looks whole but is not.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "core/file.h"
#include "formats/safetensors.h"
#include "tests/test_data.h"
#include "tests/trips/run_nibble.h"

namespace nibble::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMatrix = "model.language_model.layers.1.mlp.down_proj.weight";

/// A private copy of nano in `source()`, to be damaged, and a place for the output.
class BadInput : public ::testing::Test {
 protected:
  BadInput() { fs::copy(source_path("models/nano"), source()); }

  std::string source() const { return folder_.path("source"); }
  std::string output() const { return folder_.path("output"); }

  /// The shard that holds `name`, with the place of its header entry.
  struct Place {
    std::string shard;
    uint64_t data_begin = 0;  // of the tensor, in the file
  };
  Place find_tensor(const std::string& name) const {
    for (const auto& entry : fs::directory_iterator(source())) {
      if (entry.path().extension() != ".safetensors") continue;
      const auto file = SafetensorsFile::open(entry.path().string());
      EXPECT_TRUE(file);
      const SafetensorsEntry* const found = file ? file->header().find(name) : nullptr;
      if (found != nullptr) {
        return {entry.path().string(), file->header().data_offset + found->offset};
      }
    }
    ADD_FAILURE() << "nano has no " << name;
    return {};
  }

  void overwrite(const std::string& path, uint64_t offset, std::string_view bytes) const {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    ASSERT_TRUE(file.good());
  }

  void replace_in(const std::string& path, const std::string& from, const std::string& to) const {
    auto text = read_file(path);
    ASSERT_TRUE(text);
    const size_t at = text->find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text->replace(at, from.size(), to);
    ASSERT_TRUE(write_file_atomically(path, *text));
  }

  /// Quantizing must fail with this code, say `part`, and leave nothing behind.
  void expect_refused(int exit_code, const std::string& part) const {
    const RunResult result = run_nibble({"quantize", source(), output(), "--method", "rtn"});
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_FALSE(fs::exists(output()));
    EXPECT_FALSE(fs::exists(output() + ".partial"));
  }

  TemporaryFolder folder_;
};

TEST_F(BadInput, TruncatedShard) {
  const std::string shard = find_tensor(kMatrix).shard;
  fs::resize_file(shard, fs::file_size(shard) - 1000);
  expect_refused(1, fs::path(shard).filename().string());
}

TEST_F(BadInput, MissingShard) {
  const std::string shard = find_tensor(kMatrix).shard;
  fs::remove(shard);
  expect_refused(3, fs::path(shard).filename().string());
}

TEST_F(BadInput, WrongShape) {
  const std::string shard = find_tensor(kMatrix).shard;
  std::ifstream file(shard, std::ios::binary);
  std::string head(1 << 16, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  const size_t name = head.find(kMatrix);
  const size_t shape = head.find("[256,768]", name);
  const size_t spaced = head.find("[256, 768]", name);
  ASSERT_NE(name, std::string::npos);
  ASSERT_TRUE(shape != std::string::npos || spaced != std::string::npos);
  overwrite(shard, std::min(shape, spaced), shape < spaced ? "[768,256]" : "[768, 256]");
  expect_refused(1, "layers.1.mlp.down_proj.weight");
  EXPECT_EQ(run_nibble({"generate", source(), "--prompt", "a"}).exit_code, 1);
}

TEST_F(BadInput, NotFiniteWeights) {
  const Place place = find_tensor(kMatrix);
  overwrite(place.shard, place.data_begin + 2 * 77, std::string_view("\xc0\x7f", 2));  // BF16 NaN
  expect_refused(1, "layers.1.mlp.down_proj.weight");
  overwrite(place.shard, place.data_begin + 2 * 77, std::string_view("\x80\xff", 2));  // -infinity
  expect_refused(1, "layers.1.mlp.down_proj.weight");
}

TEST_F(BadInput, AnotherArchitecture) {
  ASSERT_TRUE(write_file_atomically(
      source() + "/config.json",
      R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256})"));
  expect_refused(4, "Qwen3_5ForConditionalGeneration");
  EXPECT_EQ(run_nibble({"generate", source(), "--prompt", "a"}).exit_code, 4);
}

TEST_F(BadInput, BrokenConfig) {
  replace_in(source() + "/config.json", "{", "{{");
  expect_refused(1, "config.json");
}

TEST_F(BadInput, BrokenTokenizer) {
  replace_in(source() + "/tokenizer.json", "\"merges\"", "\"mergers\"");
  for (const std::vector<std::string>& call :
       {std::vector<std::string>{"tokenize", source(), "text"},
        std::vector<std::string>{"generate", source(), "--prompt", "a"}}) {
    const RunResult result = run_nibble(call);
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_NE(result.err.find("tokenizer.json"), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "");
  }
}

TEST_F(BadInput, ExistingOutput) {
  fs::create_directory(output());
  ASSERT_TRUE(write_file_atomically(output() + "/mine.txt", "keep"));
  const std::vector<std::string> call = {"quantize", source(), output(), "--method", "rtn", "-q"};
  const RunResult result = run_nibble(call);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_NE(result.err.find("--force"), std::string::npos) << result.err;
  EXPECT_TRUE(fs::exists(output() + "/mine.txt"));
  EXPECT_FALSE(fs::exists(output() + "/config.json"));
}

TEST_F(BadInput, ForceReplacesAnEarlierExport) {
  const std::vector<std::string> call = {"quantize", source(), output(), "--method", "rtn", "-q"};
  ASSERT_EQ(run_nibble(call).exit_code, 0);
  EXPECT_EQ(run_nibble(call).exit_code, 2);
  std::vector<std::string> forced = call;
  forced.push_back("--force");
  const RunResult result = run_nibble(forced);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(fs::exists(output() + "/config.json"));
}

TEST_F(BadInput, OutputInsideInput) {
  for (const std::string& inside : {source() + "/out", source(), source() + "/../source/out"}) {
    const RunResult result = run_nibble({"quantize", source(), inside, "--force"});
    EXPECT_EQ(result.exit_code, 2) << inside << ": " << result.err;
    EXPECT_FALSE(fs::exists(source() + "/out"));
    EXPECT_TRUE(fs::exists(source() + "/config.json"));
  }
}

TEST_F(BadInput, OutputThatCannotBeWritten) {
  ASSERT_TRUE(write_file_atomically(folder_.path("file"), "no folder"));
  const RunResult result = run_nibble({"quantize", source(), folder_.path("file/out")});
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_NE(result.err.find(folder_.path("file")), std::string::npos) << result.err;
  if (geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  fs::create_directory(folder_.path("locked"));
  fs::permissions(folder_.path("locked"), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_EQ(run_nibble({"quantize", source(), folder_.path("locked/out")}).exit_code, 1);
}

TEST_F(BadInput, CtrlCInTheMiddle) {
  RunOptions options;
  options.signal_at_first_progress = SIGINT;
  // The signal races with a short run; when the run wins, it is tried again.
  for (int attempt = 0; attempt < 10; ++attempt) {
    fs::remove_all(output());
    const RunResult result = run_nibble(
        {"quantize", source(), output(), "--threads", "1", "--progress", "json"}, options);
    if (result.exit_code == 0) continue;
    EXPECT_EQ(result.exit_code, 130) << result.err;
    EXPECT_FALSE(fs::exists(output()));
    if (fs::exists(output() + ".partial")) {
      EXPECT_NE(result.err.find(output() + ".partial"), std::string::npos) << result.err;
    }
    // What is left behind does not stand in the way.
    EXPECT_EQ(run_nibble({"quantize", source(), output(), "--method", "rtn", "-q"}).exit_code, 0);
    EXPECT_FALSE(fs::exists(output() + ".partial"));
    return;
  }
  FAIL() << "ten runs finished before the signal reached them";
}

TEST_F(BadInput, FullDisk) {
  RunOptions options;
  options.max_file_bytes = 3'000'000;
  const RunResult result = run_nibble({"quantize", source(), output(), "--method", "rtn"}, options);
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_FALSE(fs::exists(output()));
  if (fs::exists(output() + ".partial")) {
    EXPECT_NE(result.err.find(output() + ".partial"), std::string::npos) << result.err;
  }
}

TEST_F(BadInput, TermSignalInAnEvaluation) {
  RunOptions options;
  options.signal_at_first_progress = SIGTERM;
  const std::string text = folder_.path("text");
  std::string content;
  for (int line = 0; line < 20000; ++line) content += "It is a truth. ";
  ASSERT_TRUE(write_file_atomically(text, content));
  const RunResult result =
      run_nibble({"eval", source(), "--text", text, "--progress", "json", "--json"}, options);
  EXPECT_EQ(result.exit_code, 143) << result.err;
  EXPECT_NE(result.out.find("\"Cancelled\""), std::string::npos) << result.out;
}

}  // namespace
}  // namespace nibble::test

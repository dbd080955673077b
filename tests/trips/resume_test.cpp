// Fault injection: the quantizer is killed at random moments, and the same command must go on to
// the same bytes and leave nothing beside them.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>

#include "core/file.h"
#include "tests/test_data.h"
#include "tests/trips/run_nibble.h"

namespace nibble::test {
namespace {

namespace fs = std::filesystem;

/// How many kills: NIBBLE_FAULT_POINTS, few where nobody asks for more.
int n_fault_points() {
  const char* asked = std::getenv("NIBBLE_FAULT_POINTS");
  return asked == nullptr ? 6 : std::atoi(asked);
}

/// Every file below a folder with its content.
std::map<std::string, std::string> contents(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const auto content = read_file(entry.path().string());
    EXPECT_TRUE(content) << entry.path();
    files[fs::relative(entry.path(), folder).string()] = content ? *content : std::string();
  }
  return files;
}

size_t n_entries(const std::string& folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

class Resume : public testing::Test {
 protected:
  std::vector<std::string> command(const std::string& destination, bool force) const {
    std::vector<std::string> words = {
        "quantize", source_path("models/nano"), destination, "--method", "rtn", "-q"};
    if (force) words.emplace_back("--force");
    return words;
  }

  /// Runs and kills until `n` kills hit a running program; then lets it finish.
  int kill_and_finish(const std::string& destination, bool force, int n, int duration_us) {
    std::uniform_int_distribution<int> moment(duration_us / 50, duration_us);
    int n_hits = 0;
    for (int i = 0; i < n; ++i) {
      RunOptions options;
      options.kill_after_us = moment(generator_);
      const RunResult cut = run_nibble(command(destination, force), options);
      if (cut.exit_code == 0) return n_hits;  // it was done before
      EXPECT_EQ(cut.exit_code, 128 + SIGKILL) << cut.err;
      ++n_hits;
    }
    const RunResult last = run_nibble(command(destination, force));
    EXPECT_EQ(last.exit_code, 0) << last.err;
    return n_hits;
  }

  std::mt19937 generator_{20260101};
};

TEST_F(Resume, KilledRunsEndInTheSameBytes) {
  const TemporaryFolder reference;
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(run_nibble(command(reference.path("out"), false)).exit_code, 0);
  const auto duration = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - begin);
  const auto expected = contents(reference.path("out"));
  ASSERT_TRUE(expected.count("nibble-manifest.json") == 1);

  const int n_points = n_fault_points();
  int n_hits = 0;
  for (int round = 0; n_hits < n_points; ++round) {
    const TemporaryFolder folder;
    const std::string destination = folder.path("out");
    const bool force = round % 2 == 1;
    if (force) {
      fs::create_directories(destination + "/old");
      ASSERT_TRUE(write_file_atomically(destination + "/config.json", "{}"));
    }
    // A few kills in a row: what was resumed is cut again.
    n_hits += kill_and_finish(destination, force, std::min(1 + round % 3, n_points - n_hits),
                              static_cast<int>(duration.count()));
    const auto found = contents(destination);
    ASSERT_EQ(found.size(), expected.size()) << "round " << round;
    for (const auto& [name, content] : expected) {
      ASSERT_EQ(found.count(name), 1u) << name;
      ASSERT_TRUE(found.at(name) == content) << name << " differs in round " << round;
    }
    ASSERT_EQ(n_entries(folder.path()), 1u) << "something is left beside the output";
    ASSERT_EQ(n_entries(destination), n_entries(reference.path("out")));
    ASSERT_LT(round, 50 * n_points) << "the program ends before it can be killed";
  }
  RecordProperty("n_kills", n_hits);
}

TEST_F(Resume, ACutRunOfAnotherCommandStartsOver) {
  const TemporaryFolder folder;
  const std::string destination = folder.path("out");
  RunOptions options;
  options.max_file_bytes = 1'000'000;
  const RunResult cut = run_nibble(command(destination, false), options);
  EXPECT_EQ(cut.exit_code, 1);
  EXPECT_NE(cut.err.find("run again to go on"), std::string::npos) << cut.err;
  std::vector<std::string> other = command(destination, false);
  other[4] = "sweep";
  other.pop_back();  // -q
  const RunResult done = run_nibble(other);
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_NE(done.err.find("starting over"), std::string::npos) << done.err;
  EXPECT_EQ(n_entries(folder.path()), 1u);
}

}  // namespace
}  // namespace nibble::test

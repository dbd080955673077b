// The plumbing: results, JSON limits, atomic files, mapped files that shrink, the thread pool.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <numeric>
#include <vector>

#include "core/bytes.h"
#include "core/cancel.h"
#include "core/file.h"
#include "core/json.h"
#include "core/mapped_file.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

Result<int> half(int x) {
  if (x % 2 != 0) return Error(ErrorCode::kInvalidArgument, "odd");
  return x / 2;
}

Result<int> quarter(int x) {
  ASSIGN_OR_RETURN(const int h, half(x));
  return half(h);
}

TEST(Result, CarriesValueOrError) {
  EXPECT_EQ(*quarter(12), 3);
  EXPECT_EQ(quarter(6).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Error(ErrorCode::kIo, "m", "s").to_string(), "s: m");
}

TEST(Bytes, CheckedArithmetic) {
  EXPECT_FALSE(checked_mul(uint64_t{1} << 40, uint64_t{1} << 40).has_value());
  EXPECT_FALSE(checked_add(~uint64_t{0}, 1).has_value());
  EXPECT_EQ(checked_mul(3, 4), 12u);
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(19306216416), "19.3 GB");
}

TEST(Json, RefusesDepthDuplicatesAndMarks) {
  EXPECT_EQ(parse_json(std::string(100000, '['), "x").error().code, ErrorCode::kLimit);
  EXPECT_EQ(parse_json(R"({"a":1,"a":2})", "x", {.reject_duplicate_keys = true}).error().code,
            ErrorCode::kCorrupt);
  EXPECT_EQ((*parse_json(R"({"a":1,"a":2})", "x"))["a"], 2);
  EXPECT_EQ(parse_json("\xEF\xBB\xBF{}", "x").error().code, ErrorCode::kCorrupt);
  const auto broken = parse_json("{\n  \"a\": ,}", "x");
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().message.find("line 2, column 8"), std::string::npos)
      << broken.error().message;
}

TEST(Json, KeepsOrderAndPrintsLikeHuggingFace) {
  const auto json = parse_json(R"({"z": 1, "a": [1, "ü"]})", "x");
  ASSERT_TRUE(json);
  EXPECT_EQ(dump_json_line(*json), R"({"z":1,"a":[1,"ü"]})");
  EXPECT_EQ(dump_json(*json).substr(0, 10), "{\n  \"z\": 1");
}

TEST(File, WritesAtomicallyAndTellsWhatFailed) {
  const test::TemporaryFolder folder;
  ASSERT_TRUE(write_file_atomically(folder.path("a"), "hello"));
  EXPECT_EQ(*read_file(folder.path("a")), "hello");
  EXPECT_EQ(read_file(folder.path("b")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(read_file(folder.path("a"), 3).error().code, ErrorCode::kLimit);
  EXPECT_FALSE(write_file_atomically(folder.path("no/such/a"), "x"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(MappedFile, TruncationBecomesAnError) {
  const test::TemporaryFolder folder;
  std::ofstream(folder.path("f")) << std::string(1 << 20, 'x');
  auto file = MappedFile::open(folder.path("f"));
  ASSERT_TRUE(file);
  EXPECT_EQ(file->bytes().size(), size_t{1} << 20);
  EXPECT_TRUE(file->intact());
  ASSERT_EQ(::truncate(folder.path("f").c_str(), 4096), 0);
  unsigned sum = 0;
  for (const std::byte b : file->bytes()) sum += static_cast<unsigned>(b);
  EXPECT_EQ(sum, 4096u * 'x');
  EXPECT_EQ(file->intact().error().code, ErrorCode::kIo);
}

TEST(MappedFile, EmptyAndMissing) {
  const test::TemporaryFolder folder;
  std::ofstream(folder.path("f")) << "";
  EXPECT_TRUE(MappedFile::open(folder.path("f"))->bytes().empty());
  EXPECT_FALSE(MappedFile::open(folder.path("g")));
  EXPECT_FALSE(MappedFile::open(folder.path()));
}

TEST(MappedFile, PipesAreRefusedAtOnce) {
  const test::TemporaryFolder folder;
  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::open(folder.path("pipe")).error().code, ErrorCode::kInvalidArgument);
}

TEST(ThreadPool, CoversEveryIndexOnce) {
  for (const size_t n_threads : {1u, 2u, 5u}) {
    ThreadPool pool(n_threads);
    for (const size_t n : {0u, 1u, 7u, 64u, 1000u}) {
      std::vector<std::atomic<int>> hits(n);
      pool.parallel_for(n, 16, [&](size_t begin, size_t end) {
        for (size_t i = begin; i < end; ++i) ++hits[i];
      });
      for (const auto& hit : hits) EXPECT_EQ(hit.load(), 1);
    }
    std::atomic<size_t> runs{0};
    for (int i = 0; i < 200; ++i) pool.run([&](size_t) { ++runs; });
    EXPECT_EQ(runs.load(), 200 * n_threads);
  }
}

TEST(Cancel, IsSetAndCleared) {
  EXPECT_TRUE(check_cancelled());
  request_cancel(2);
  EXPECT_EQ(check_cancelled().error().code, ErrorCode::kCancelled);
  EXPECT_EQ(cancel_signal(), 2);
  clear_cancel();
  EXPECT_TRUE(check_cancelled());
}

}  // namespace
}  // namespace nibble

// What a cut run leaves, and how the next one goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "checkpoint/manifest.h"
#include "checkpoint/output/journal.h"
#include "checkpoint/output/target_folder.h"
#include "checkpoint/testing/tiny_checkpoint.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using test::read_text;
using test::write_text;

constexpr const char* kJournal = "/.nibble-partial";

TEST(Journal, CutsATornTail) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("journal");
  {
    auto journal = Journal::open(path);
    ASSERT_TRUE(journal);
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(journal->append(Json{{"n", i}}));
  }
  const std::string whole = read_text(path);
  for (size_t n = 0; n <= whole.size(); ++n) {
    write_text(path, whole.substr(0, n));
    const auto journal = Journal::open(path);
    ASSERT_TRUE(journal);
    const auto n_lines = std::count(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n), '\n');
    ASSERT_EQ(journal->records().size(), static_cast<size_t>(n_lines)) << n;
  }
  std::string flipped = whole;
  flipped[whole.find('\n') + 40] ^= 1;
  write_text(path, flipped);
  auto journal = Journal::open(path);
  ASSERT_TRUE(journal);
  EXPECT_EQ(journal->records().size(), 1u);
  ASSERT_TRUE(journal->append(Json{{"n", 7}}));
  EXPECT_EQ(Journal::open(path)->records()[1]["n"], 7);
}

class CutRun : public testing::Test {
 protected:
  void SetUp() override {
    source_ = test::open_or_fail(test::source_path("models/nano"));
    options_.command = Json{{"command", "test"}};
    options_.max_shard_bytes = 6'000'000;
    ASSERT_NE(source_, nullptr);
    ASSERT_TRUE(run(folder_.path("reference"), source_->tensors().size(), true));
  }

  Status write_from(CheckpointWriter& writer, size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const PlannedTensor& planned = writer.plan()[i];
      writer.annotate({"hash of " + planned.source->name, Json{{"index", i}}});
      if (planned.target == WeightTarget::kKeep) {
        RETURN_IF_ERROR(writer.write_source());
      } else {
        RETURN_IF_ERROR(
            writer.write_nvfp4(test::quantize_plainly(*source_, *planned.source).view()));
      }
    }
    return {};
  }

  /// Writes up to `end` and stops there, or finishes. Remembers what was taken over.
  Status run(const std::string& destination, size_t end, bool finish) {
    std::vector<PlannedTensor> plan;
    for (const TensorInfo& tensor : source_->tensors()) {
      plan.push_back({&tensor, test::is_mlp(tensor) ? WeightTarget::kNvfp4 : WeightTarget::kKeep});
    }
    ASSIGN_OR_RETURN(const auto writer,
                     CheckpointWriter::create(source_, plan, destination, options_));
    n_taken_over_ = writer->taken_over().size();
    if (n_taken_over_ > 0) {
      EXPECT_EQ(writer->taken_over().back().note.report["index"], n_taken_over_ - 1);
    }
    RETURN_IF_ERROR(write_from(*writer, n_taken_over_, end));
    if (finish) return writer->finish();
    writer->keep_partial();
    return {};
  }

  /// The shard of the unfinished output whose name begins so; empty where there is none.
  std::string shard_path(const std::string& start) const {
    for (const auto& entry : fs::directory_iterator(folder_.path("out.partial"))) {
      if (entry.path().filename().string().starts_with(start)) return entry.path().string();
    }
    return {};
  }

  void expect_finished() {
    ASSERT_TRUE(run(folder_.path("out"), source_->tensors().size(), true));
    EXPECT_FALSE(fs::exists(folder_.path("out.partial")));
    EXPECT_FALSE(fs::exists(folder_.path("out") + kJournal));
    for (const auto& entry : fs::directory_iterator(folder_.path("reference"))) {
      const std::string name = entry.path().filename().string();
      EXPECT_TRUE(read_text(folder_.path("out/" + name)) == read_text(entry.path().string()))
          << name;
    }
  }

  const std::string partial_ = "out.partial/";
  test::TemporaryFolder folder_;
  std::shared_ptr<const Checkpoint> source_;
  WriterOptions options_;
  size_t n_taken_over_ = 0;
};

TEST_F(CutRun, GoesOnAtEveryTensor) {
  const size_t n = source_->tensors().size();
  for (const size_t end : {size_t{0}, size_t{1}, n / 3, n / 2, n - 1, n}) {
    fs::remove_all(folder_.path("out"));
    ASSERT_TRUE(run(folder_.path("out"), end, false));
    write_text(folder_.path(partial_ + "config.json.tmp123"), "litter");
    write_text(folder_.path(partial_ + "model-00009-of-00009.safetensors"), "litter");
    expect_finished();
    EXPECT_EQ(n_taken_over_, end);
  }
}

TEST_F(CutRun, BelievesOnlyWhatItReadsBack) {
  const size_t n = source_->tensors().size();
  ASSERT_TRUE(run(folder_.path("out"), n - 2, false));
  const std::string shard = shard_path("model-00002-of-");
  ASSERT_FALSE(shard.empty());
  std::string bytes = read_text(shard);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_text(shard, bytes);
  expect_finished();
  EXPECT_GT(n_taken_over_, 0u);
  EXPECT_LT(n_taken_over_, n - 2);

  fs::remove_all(folder_.path("out"));
  ASSERT_TRUE(run(folder_.path("out"), n / 2, false));
  fs::resize_file(shard_path("model-00001-of-"), 100);
  expect_finished();
  EXPECT_EQ(n_taken_over_, 0u);
}

TEST_F(CutRun, StartsOverForAnotherCommandOrSource) {
  ASSERT_TRUE(run(folder_.path("out"), 20, false));
  options_.command["method"] = "another";
  ASSERT_TRUE(run(folder_.path("out"), 20, false));
  EXPECT_EQ(n_taken_over_, 0u);
  ASSERT_TRUE(run(folder_.path("out"), 20, false));
  EXPECT_EQ(n_taken_over_, 20u);

  fs::copy(test::source_path("models/nano"), folder_.path("copy"), fs::copy_options::recursive);
  source_ = test::open_or_fail(folder_.path("copy"));
  ASSERT_TRUE(run(folder_.path("out"), 20, false));
  EXPECT_EQ(n_taken_over_, 0u) << "the copy's time of change is another";
}

TEST_F(CutRun, WritesAManifest) {
  const std::string text = read_text(folder_.path("reference/nibble-manifest.json"));
  const auto manifest = parse_json(text, "manifest");
  ASSERT_TRUE(manifest) << manifest.error().to_string();
  EXPECT_EQ((*manifest)["command"], options_.command);
  EXPECT_EQ((*manifest)["hash"], "XXH3-128");
  ASSERT_EQ((*manifest)["tensors"].size(), source_->tensors().size());
  EXPECT_THAT(text, testing::Not(testing::HasSubstr(folder_.path())));
}

TEST_F(CutRun, TheManifestFindsChangedBytes) {
  const std::string out = folder_.path("reference");
  const auto none = compare_with_manifest(out);
  ASSERT_TRUE(none) << none.error().to_string();
  EXPECT_TRUE(none->empty());
  const auto opened = test::open_or_fail(out);
  const std::string shard = out + "/" + opened->tensors().back().shard;
  std::string bytes = read_text(shard);
  bytes.back() = static_cast<char>(bytes.back() ^ 4);
  write_text(shard, bytes);
  const auto one = compare_with_manifest(out);
  ASSERT_TRUE(one);
  EXPECT_EQ(one->size(), 1u);
  write_text(out + "/nibble-manifest.json", "{}");
  EXPECT_EQ(compare_with_manifest(out).error().code, ErrorCode::kCorrupt);
  fs::remove(out + "/nibble-manifest.json");
  EXPECT_EQ(compare_with_manifest(out).error().code, ErrorCode::kNotFound);
}

// The moments between the rename and the end of the clean-up.
TEST(InterruptedCommit, IsFinishedByTheNextRun) {
  for (const bool same_run : {true, false}) {
    const test::TemporaryFolder folder;
    fs::create_directories(folder.path("source"));
    const std::string out = folder.path("out");
    TargetRequest request{folder.path("source"), out, true, 1000, Json{{"run", 1}}};
    fs::create_directories(out);
    write_text(out + "/config.json", "old");
    {
      auto target = TargetFolder::create(request);
      ASSERT_TRUE(target) << target.error().to_string();
      write_text(target->partial() + "/config.json", "new");
      target->keep();
    }
    struct stat info {};
    ASSERT_EQ(::stat(out.c_str(), &info), 0);
    const Json replaced = {{"device", static_cast<uint64_t>(info.st_dev)},
                           {"inode", static_cast<uint64_t>(info.st_ino)}};
    ASSERT_TRUE(Journal::open(out + ".partial" + kJournal)
                    ->append(Json{{"commit", {{"replaces", replaced}}}}));
    fs::rename(out, folder.path("swap"));
    fs::rename(out + ".partial", out);
    fs::rename(folder.path("swap"), out + ".partial");

    if (!same_run) request.run = Json{{"run", 2}};
    request.replace = false;
    const auto next = TargetFolder::create(request);
    EXPECT_EQ(next.has_value(), same_run);
    if (next) {
      EXPECT_TRUE(next->already_committed());
    }
    EXPECT_EQ(read_text(out + "/config.json"), "new");
    EXPECT_FALSE(fs::exists(out + kJournal));
    EXPECT_FALSE(fs::exists(out + ".partial"));
  }
}

}  // namespace
}  // namespace nibble

// Where an output may be written, and what is left when it is not finished.
#include "checkpoint/output/target_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>

#include "checkpoint/testing/tiny_checkpoint.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using test::write_text;

class TargetFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(path("source/sub"));
    write_text(path("source/config.json"), "{}");
  }
  std::string path(const std::string& relative) const { return folder_.path(relative); }

  Result<TargetFolder> create(const std::string& destination, bool replace = false) {
    return TargetFolder::create(path("source"), destination, replace, 1000);
  }
  void expect_refused(const std::string& destination, bool replace, ErrorCode code) {
    const auto target = create(destination, replace);
    ASSERT_FALSE(target) << destination;
    EXPECT_EQ(target.error().code, code) << target.error().to_string();
  }

  test::TemporaryFolder folder_;
};

TEST_F(TargetFolderTest, RefusesTheSourceAndItsSurroundings) {
  fs::create_directory_symlink(path("source"), path("link"));
  for (const bool replace : {false, true}) {
    for (const char* name : {"source", "source/", "source/new", "source/sub", "source/sub/../new",
                             "link", "link/new", "./source/../source", ""}) {
      expect_refused(*name == '\0' ? name : path(name), replace, ErrorCode::kInvalidArgument);
    }
    expect_refused(folder_.path(), replace, ErrorCode::kInvalidArgument);
    expect_refused("/", replace, ErrorCode::kInvalidArgument);
  }
  // The unfinished output must not take the source's place either.
  const auto shadow = TargetFolder::create(path("x.partial"), path("x"), false, 0);
  ASSERT_FALSE(shadow);
  EXPECT_EQ(shadow.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(TargetFolderTest, RefusesWhatExists) {
  fs::create_directories(path("folder"));
  write_text(path("folder/notes.txt"), "mine");
  write_text(path("file"), "mine");
  fs::create_symlink(path("nowhere"), path("dangling"));
  expect_refused(path("folder"), false, ErrorCode::kAlreadyExists);
  expect_refused(path("folder"), true, ErrorCode::kAlreadyExists);
  expect_refused(path("file"), true, ErrorCode::kAlreadyExists);
  expect_refused(path("no/such/parent"), false, ErrorCode::kNotFound);
  expect_refused(path("file/x"), false, ErrorCode::kNotFound);
  EXPECT_FALSE(fs::exists(path("folder.partial")));
}

TEST_F(TargetFolderTest, RefusesAnUnwritableParent) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  fs::create_directories(path("closed"));
  fs::permissions(path("closed"), fs::perms::owner_read | fs::perms::owner_exec);
  expect_refused(path("closed/out"), false, ErrorCode::kPermission);
  fs::permissions(path("closed"), fs::perms::owner_all);
}

TEST_F(TargetFolderTest, AsksForSpaceFirst) {
  const auto target = TargetFolder::create(path("source"), path("out"), false, uint64_t{1} << 62);
  ASSERT_FALSE(target);
  EXPECT_EQ(target.error().code, ErrorCode::kNoSpace);
  EXPECT_FALSE(fs::exists(path("out.partial")));
}

TEST_F(TargetFolderTest, RemovesOrKeepsWhatIsUnfinished) {
  {
    const auto target = create(path("out"));
    ASSERT_TRUE(target) << target.error().to_string();
    EXPECT_TRUE(fs::is_directory(path("out.partial")));
    EXPECT_FALSE(fs::exists(path("out")));
  }
  EXPECT_FALSE(fs::exists(path("out.partial")));
  {
    auto target = create(path("out"));
    ASSERT_TRUE(target);
    write_text(path("out.partial/half"), "work");
    target->keep();
  }
  EXPECT_TRUE(fs::exists(path("out.partial/half")));
  auto again = create(path("out"));
  ASSERT_TRUE(again) << again.error().to_string();
  EXPECT_FALSE(fs::exists(path("out.partial/half")));
  expect_refused(path("out"), false, ErrorCode::kAlreadyExists);  // a run is in it
  ASSERT_TRUE(again->commit());
  EXPECT_TRUE(fs::is_empty(path("out")));
  EXPECT_FALSE(fs::exists(path("out.partial")));
}

TEST_F(TargetFolderTest, LeavesFoldersOfOthersAlone) {
  fs::create_directories(path("out.partial"));
  write_text(path("out.partial/mine"), "text");
  expect_refused(path("out"), true, ErrorCode::kAlreadyExists);
  EXPECT_TRUE(fs::exists(path("out.partial/mine")));
}

TEST_F(TargetFolderTest, ReplacesOnlyAtTheEnd) {
  fs::create_directories(path("out/old_folder"));
  write_text(path("out/config.json"), "old");
  fs::create_directory_symlink(path("out"), path("alias"));
  {
    const auto target = create(path("alias"), true);
    ASSERT_TRUE(target) << target.error().to_string();
  }
  EXPECT_TRUE(fs::exists(path("out/old_folder")));
  auto target = create(path("alias/"), true);
  ASSERT_TRUE(target) << target.error().to_string();
  write_text(target->partial() + "/config.json", "new");
  EXPECT_TRUE(fs::exists(path("out/old_folder")));
  ASSERT_TRUE(target->commit());
  EXPECT_EQ(test::read_text(path("out/config.json")), "new");
  EXPECT_FALSE(fs::exists(path("out/old_folder")));
  EXPECT_FALSE(fs::exists(path("out.partial")));
  EXPECT_TRUE(fs::is_symlink(path("alias")));
}

// Lets files grow to `n_bytes` only, as a full disk would.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t n_bytes) {
    previous_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &previous_);
    rlimit limit = previous_;
    limit.rlim_cur = n_bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &previous_);
    std::signal(SIGXFSZ, previous_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit previous_ = {};
  void (*previous_handler_)(int) = SIG_DFL;
};

TEST(CheckpointWriterFailures, AFullDiskKeepsTheWorkAndNamesIt) {
  const auto source = test::open_or_fail(test::source_path("models/nano"));
  const test::TemporaryFolder folder;
  {
    const FileSizeLimit limit(1'000'000);
    const Status status = test::quantize_folder(source, folder.path("out"), {}, test::is_mlp);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kNoSpace) << status.error().to_string();
    EXPECT_THAT(status.error().message, testing::HasSubstr(folder.path("out.partial")));
  }
  EXPECT_FALSE(fs::exists(folder.path("out")));
  EXPECT_TRUE(fs::exists(folder.path("out.partial/model.safetensors")));
  const Status again = test::quantize_folder(source, folder.path("out"), {}, test::is_mlp);
  EXPECT_TRUE(again) << again.error().to_string();
  EXPECT_FALSE(fs::exists(folder.path("out.partial")));
}

TEST(CheckpointWriterFailures, ASourceThatShrinksIsNoticed) {
  const test::TemporaryFolder folder;
  test::write_checkpoint(folder.path("in"), Json::object(),
                         {test::filled("a.weight", DType::kF32, {256, 1024}, 1)});
  const auto source = test::open_or_fail(folder.path("in"));
  fs::resize_file(folder.path("in/model.safetensors"), 4096);
  auto none = [](const TensorInfo&) { return false; };
  const Status status = test::quantize_folder(source, folder.path("out"), {}, none);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().message, testing::HasSubstr("truncated"));
  EXPECT_FALSE(fs::exists(folder.path("out")));
  EXPECT_FALSE(fs::exists(folder.path("out.partial")));
}

TEST(CheckpointWriterFailures, LeaveNothingElseBehind) {
  const auto source = test::open_or_fail(test::source_path("models/nano"));
  const test::TemporaryFolder folder;
  std::vector<PlannedTensor> plan;
  for (const TensorInfo& tensor : source->tensors()) plan.push_back({&tensor});
  {
    auto writer = CheckpointWriter::create(source, plan, folder.path("out"), {});
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->write_source());
    EXPECT_EQ((*writer)->partial_folder(), folder.path("out.partial"));
    EXPECT_EQ((*writer)->plan().size(), plan.size());
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
  {
    auto writer = CheckpointWriter::create(source, plan, folder.path("out"), {});
    ASSERT_TRUE(writer);
    (*writer)->keep_partial();
  }
  EXPECT_TRUE(fs::exists(folder.path("out.partial")));

  WriterOptions unknown;
  unknown.dialect = "auto-round";  // read, not written
  auto expect_refused = [&](const std::vector<PlannedTensor>& wrong, const WriterOptions& options) {
    const auto writer = CheckpointWriter::create(source, wrong, folder.path("other"), options);
    ASSERT_FALSE(writer);
    EXPECT_EQ(writer.error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(fs::exists(folder.path("other.partial")));
  };
  expect_refused(plan, unknown);
  auto short_plan = plan;
  short_plan.pop_back();
  expect_refused(short_plan, {});
  auto twice = plan;
  twice.back() = twice.front();
  expect_refused(twice, {});
  auto vector_as_matrix = plan;
  for (PlannedTensor& planned : vector_as_matrix) {
    if (planned.source->shape.size() == 1) planned.target = WeightTarget::kNvfp4;
  }
  expect_refused(vector_as_matrix, {});
  auto half_scaled = plan;
  for (PlannedTensor& planned : half_scaled) {
    planned.target = test::is_mlp(*planned.source) ? WeightTarget::kNvfp4 : WeightTarget::kKeep;
    planned.has_input_scale = planned.source->name == "layers.0.mlp.up_proj.weight";
  }
  expect_refused(half_scaled, {});
}

}  // namespace
}  // namespace nibble

#include "quantize/calibration/sample_texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "core/file.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SampleTexts : public testing::Test {
 protected:
  // Writes a file of the test's folder and makes it the calibration text.
  void write(const std::string& name, const std::string& content) {
    options_.path = folder_.path(name);
    ASSERT_TRUE(write_file_atomically(options_.path, content).has_value());
  }
  std::vector<std::string> documents() const {
    const auto read = read_documents(options_);
    EXPECT_TRUE(read.has_value()) << read.error().to_string();
    return read ? *read : std::vector<std::string>();
  }
  std::string failure() const {
    const auto read = read_documents(options_);
    return read ? "it worked" : read.error().message;
  }
  static const Tokenizer& tokenizer() {
    static const Tokenizer one = [] {
      const std::string path = test::source_path("models/nano/tokenizer.json");
      return std::move(*Tokenizer::from_json(*read_file(path), path));
    }();
    return one;
  }
  std::vector<std::vector<int32_t>> samples(const std::vector<std::string>& texts) const {
    const auto cut = sample_tokens(texts, tokenizer(), options_);
    EXPECT_TRUE(cut.has_value()) << cut.error().to_string();
    return cut ? *cut : std::vector<std::vector<int32_t>>();
  }

  test::TemporaryFolder folder_;
  CalibrationOptions options_;
};

TEST_F(SampleTexts, TheBundledTextIsInTheProgram) {
  const std::vector<std::string> bundled = documents();
  EXPECT_EQ(bundled.size(), 619u);
  options_.path = test::source_path("data/calibration.jsonl");
  EXPECT_TRUE(bundled == documents());
}

TEST_F(SampleTexts, NothingOfTheBundledTextIsMeasuredWith) {
  const std::string heldout = *read_file(test::source_path("data/heldout.txt"));
  const std::string tasks = *read_file(test::source_path("data/tasks.jsonl"));
  const std::vector<std::string> texts = documents();
  for (size_t i = 0; i < texts.size(); i += 10) {
    const std::string piece = texts[i].substr(texts[i].size() / 2, 80);
    EXPECT_EQ(heldout.find(piece), std::string::npos) << piece;
    EXPECT_EQ(tasks.find(piece), std::string::npos) << piece;
  }
}

TEST_F(SampleTexts, LinesHoldTextsOrMessages) {
  write("a.jsonl",
        "{\"text\": \"one\"}\r\n\n{\"messages\": [{\"role\": \"user\", \"content\": "
        "\"two\"}]}\n{\"text\": \"\"}\n{\"text\": \"three\", \"source\": 7}");
  EXPECT_THAT(failure(), HasSubstr("line 3: holds messages"));
  options_.render_chat = [](const Json& messages) -> Result<std::string> {
    return "<" + messages[0]["content"].get<std::string>() + ">";
  };
  EXPECT_THAT(documents(), ElementsAre("one", "<two>", "three"));
  options_.render_chat = [](const Json&) -> Result<std::string> {
    return Error(ErrorCode::kInvalidArgument, "the template says no");
  };
  EXPECT_THAT(failure(), HasSubstr("line 3: the template says no"));
}

TEST_F(SampleTexts, BadLinesAreNamed) {
  write("a.jsonl", "{\"text\": \"one\"}\n{\"text\": ");
  EXPECT_THAT(failure(), HasSubstr("line 2"));
  write("a.jsonl", "[1]");
  EXPECT_THAT(failure(), HasSubstr("line 1: is not an object"));
  write("a.jsonl", "{\"text\": 1}");
  EXPECT_THAT(failure(), HasSubstr("its \"text\" is not a text"));
  write("a.jsonl", "{\"prompt\": \"one\"}");
  EXPECT_THAT(failure(), HasSubstr("neither \"text\" nor \"messages\""));
  write("a.jsonl", "\n\n");
  EXPECT_THAT(failure(), HasSubstr("is empty"));
}

TEST_F(SampleTexts, FoldersGiveTheirTextsByName) {
  write("b.txt", "second");
  write("a.md", "first");
  write("c.jsonl", "{\"text\": \"third\"}\n{\"text\": \"fourth\"}\n");
  write("d.bin", "not a text");
  std::filesystem::create_directory(folder_.path("e.txt"));
  options_.path = folder_.path();
  EXPECT_THAT(documents(), ElementsAre("first", "second", "third", "fourth"));
  options_.path = folder_.path("e.txt");
  EXPECT_THAT(failure(), HasSubstr("holds no calibration text"));
  options_.path = folder_.path("nowhere");
  EXPECT_THAT(failure(), HasSubstr("no such calibration text"));
}

TEST_F(SampleTexts, SamplesSpreadOverTheDocuments) {
  options_.n_samples = 4;
  options_.n_tokens = 3;
  std::vector<std::string> texts;
  texts.reserve(10);
  for (int i = 0; i < 10; ++i) texts.push_back(std::string(1, static_cast<char>('a' + i)));
  EXPECT_EQ(samples(texts).size(), 4u);
  std::string text;
  for (const auto& sample : samples(texts)) text += tokenizer().decode(sample);
  EXPECT_EQ(text, "acfh");
}

TEST_F(SampleTexts, FewDocumentsGiveSeveralPiecesEach) {
  std::string book;
  for (int i = 0; i < 400; ++i) book += " word " + std::to_string(i);
  const size_t n_tokens = tokenizer().encode(book)->size();
  options_.n_samples = 5;
  options_.n_tokens = 64;
  const auto cut = samples({book, "short"});
  // Three pieces of the book and all of the short document, which has no more.
  ASSERT_GE(cut.size(), 3u);
  EXPECT_LE(cut.size(), 5u);
  std::set<std::vector<int32_t>> different(cut.begin(), cut.end());
  EXPECT_EQ(different.size(), cut.size());
  for (const auto& sample : cut) EXPECT_LE(sample.size(), 64u);
  EXPECT_EQ(tokenizer().decode(cut.back()), "short");
  options_.n_samples = 1000;
  options_.n_tokens = 10000;
  EXPECT_EQ(samples({book})[0].size(), n_tokens);
}

TEST_F(SampleTexts, TextMustBeUtf8) {
  const auto cut = sample_tokens({"\xff\xfe"}, tokenizer(), options_);
  ASSERT_FALSE(cut.has_value());
  EXPECT_THAT(cut.error().message, HasSubstr("calibration text"));
}

}  // namespace
}  // namespace nibble

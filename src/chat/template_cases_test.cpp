// Renders every recorded case of the reference implementation and compares text and errors.
#include <gtest/gtest.h>

#include <ctime>
#include <iomanip>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "chat/message.h"
#include "chat/template.h"
#include "core/file.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

std::vector<Json> read_cases(const std::string& path) {
  std::vector<Json> cases;
  const Result<std::string> text = read_file(path);
  EXPECT_TRUE(text.has_value()) << path;
  if (!text) return cases;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    Result<Json> row = parse_message_json(line, path);
    EXPECT_TRUE(row.has_value()) << (row ? "" : row.error().to_string());
    if (row) cases.push_back(std::move(*row));
  }
  return cases;
}

RenderOptions options_of(const Json& row) {
  RenderOptions options;
  if (!row.contains("options") || !row["options"].contains("now")) return options;
  std::tm time{};
  std::istringstream text(row["options"]["now"].get<std::string>());
  text >> std::get_time(&time, "%Y-%m-%dT%H:%M:%S");
  std::tm normalized = time;
  const std::time_t seconds = ::timegm(&normalized);  // fills in the day of the week and the year
  ::gmtime_r(&seconds, &normalized);
  options.local_time = normalized;
  return options;
}

void expect_error(const Json& row, const Error& error, const std::string& phase) {
  EXPECT_EQ(phase, row["error"]["phase"].get<std::string>()) << error.to_string();
  EXPECT_NE(error.message.find("line "), std::string::npos) << error.message;
  EXPECT_EQ(error.code == ErrorCode::kCorrupt, phase == "compile") << error.message;
  if (row["error"]["class"] == "TemplateError") {
    const std::string wanted = ": " + row["error"]["message"].get<std::string>();
    EXPECT_TRUE(error.message.ends_with(wanted)) << error.message;
  }
}

void check_case(const Json& row, const std::string& source, const Json& context) {
  const Result<Template> parsed = Template::parse(source, "template");
  if (!parsed) {
    ASSERT_TRUE(row.contains("error")) << parsed.error().to_string();
    return expect_error(row, parsed.error(), "compile");
  }
  const Result<Rendering> rendered = parsed->render_with_spans(context, options_of(row));
  if (!rendered) {
    ASSERT_TRUE(row.contains("error")) << rendered.error().to_string();
    return expect_error(row, rendered.error(), "render");
  }
  ASSERT_FALSE(row.contains("error"))
      << "rendered: " << rendered->text << "\nwanted the error " << row["error"].dump();
  EXPECT_EQ(rendered->text, row["expected"].get<std::string>());
  if (!row.contains("generation_spans")) return;
  Json spans = Json::array();
  for (const auto& span : rendered->generation_spans) spans.push_back({span.first, span.last});
  EXPECT_EQ(spans, row["generation_spans"]);
}

Json chat_context(const Json& row) {
  Json context = {{"messages", row["messages"]}, {"tools", row["tools"]},
                  {"documents", nullptr},        {"add_generation_prompt", false},
                  {"eos_token", "<|im_end|>"},   {"pad_token", "<|endoftext|>"}};
  for (const auto& [key, value] : row["kwargs"].items()) context[key] = value;
  return context;
}

TEST(TemplateCases, SnippetsOfTheLanguage) {
  const auto rows = read_cases(test::source_path("tests/data/template/snippets.jsonl"));
  EXPECT_EQ(rows.size(), 785u);
  for (const Json& row : rows) {
    SCOPED_TRACE(row["id"].dump() + ": " + row["template"].get<std::string>());
    check_case(row, row["template"].get<std::string>(), row.value("context", Json::object()));
  }
}

TEST(TemplateCases, BundledModel) {
  const auto source = read_file(test::source_path("models/nano/chat_template.jinja"));
  ASSERT_TRUE(source.has_value());
  const auto rows = read_cases(test::source_path("tests/data/template/nano.jsonl"));
  EXPECT_EQ(rows.size(), 109u);
  for (const Json& row : rows) {
    SCOPED_TRACE(row["name"].get<std::string>());
    check_case(row, *source, chat_context(row));
  }
}

}  // namespace
}  // namespace nibble

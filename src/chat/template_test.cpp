#include "chat/template.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace nibble {
namespace {

/// The text, or after "error: " the message.
std::string render(const std::string& source, const Json& context = Json::object(),
                   const RenderOptions& options = {}) {
  const auto parsed = Template::parse(source, "test");
  if (!parsed) return "error: " + parsed.error().message;
  const auto text = parsed->render(context, options);
  return text ? *text : "error: " + text.error().message;
}

TEST(Template, KeepsItsSource) {
  const auto parsed = Template::parse("a\r\n{# b #}c", "test");
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  EXPECT_EQ(parsed->source(), "a\r\n{# b #}c");
}

TEST(Template, TellsTheTimeItIsGiven) {
  RenderOptions options;
  std::tm time{};
  time.tm_year = 125;
  time.tm_mon = 6;
  time.tm_mday = 9;
  time.tm_hour = 13;
  time.tm_wday = 3;
  time.tm_yday = 189;
  options.local_time = time;
  EXPECT_EQ(render("{{ strftime_now('%d %b %Y, %A, %H h') }}", Json::object(), options),
            "09 Jul 2025, Wednesday, 13 h");
}

TEST(Template, GenerationSpansCountCodePoints) {
  const auto parsed = Template::parse(
      "\u00e9{% for t in texts %}<{% generation %}{{ t }}{% endgeneration %}>{% endfor %}", "test");
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  const auto rendering = parsed->render_with_spans({{"texts", {"\U0001f600b", "", "c"}}});
  ASSERT_TRUE(rendering) << rendering.error().to_string();
  EXPECT_EQ(rendering->text, "\u00e9<\U0001f600b><><c>");
  ASSERT_EQ(rendering->generation_spans.size(), 3u);
  EXPECT_EQ(rendering->generation_spans[0].first, 2u);
  EXPECT_EQ(rendering->generation_spans[0].last, 4u);
  EXPECT_EQ(rendering->generation_spans[1].first, rendering->generation_spans[1].last);
  EXPECT_EQ(rendering->generation_spans[2].first, 8u);
  EXPECT_EQ(rendering->generation_spans[2].last, 9u);
}

TEST(Template, ErrorsTellKindAndPlace) {
  const auto syntax = Template::parse("a\n  {% if %}", "my.jinja");
  ASSERT_FALSE(syntax);
  EXPECT_EQ(syntax.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(syntax.error().subject, "my.jinja");
  EXPECT_NE(syntax.error().message.find("line 2, column "), std::string::npos);
  const auto parsed = Template::parse("\n\n{{ raise_exception('no, ' ~ 1) }}", "my.jinja");
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  const auto raised = parsed->render(Json::object());
  ASSERT_FALSE(raised);
  EXPECT_EQ(raised.error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(raised.error().message.starts_with("line 3, column ")) << raised.error().message;
  EXPECT_TRUE(raised.error().message.ends_with(": no, 1")) << raised.error().message;
}

TEST(Template, OneTemplateServesSeveralThreads) {
  const auto parsed = Template::parse(
      "{% set ns = namespace(n=0) %}{% macro f(x) %}{% set ns.n = ns.n + x %}{% endmacro %}"
      "{% for i in range(500) %}{{ f(k) }}{% endfor %}{{ ns.n }}",
      "test");
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (size_t k = 0; k < texts.size(); ++k) {
    threads.emplace_back([&, k] {
      const auto text = parsed->render({{"k", k}});
      texts[k] = text ? *text : text.error().to_string();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(texts, (std::vector<std::string>{"0", "500", "1000", "1500"}));
}

TEST(Template, ARenderingLeavesItsVariablesAlone) {
  const Json context = {{"d", {{"a", {1, 2}}}}};
  EXPECT_TRUE(render("{{ d.a.append(3) }}", context).starts_with("error: "));
  EXPECT_EQ(render("{% set d = 1 %}{{ d }}", context), "1");
  EXPECT_EQ(render("{{ d }}", context), "{'a': [1, 2]}");
}

TEST(Template, MacrosShowTheirNames) {
  EXPECT_EQ(render("{% macro m(a) %}{% endmacro %}{{ m }} {{ m.name }} {{ m.arguments }}"),
            "<Macro 'm'> m ('a',)");
  EXPECT_EQ(render("{% macro m() %}{{ caller }} {{ caller.name }}{% endmacro %}"
                   "{% call m() %}x{% endcall %}"),
            "<Macro anonymous> None");
}

// What Python refuses must not give a text that looks right.
TEST(Template, RefusesWhatPythonRefuses) {
  const char* sources[] = {
      "{{ '{:+}'.format('a') }}",  "{{ '{: }'.format('a') }}",         "{{ '{:-}'.format('a') }}",
      "{{ '{:#}'.format('a') }}",  "{{ '{:,}'.format('a') }}",         "{{ '{:_}'.format('a') }}",
      "{{ '{:=5}'.format('a') }}", "{{ '{:,x}'.format(5) }}",          "{{ '{:,n}'.format(5) }}",
      "{{ '{:_c}'.format(65) }}",  "{{ [2, 1] | sort('a') }}",         "{{ [2, 1] | sort(none) }}",
      "{{ [] | sort(1.0) }}",      "{{ {} | dictsort(reverse='x') }}", "{{ [] is filter }}",
      "{{ {} is test }}",
  };
  for (const char* source : sources) {
    EXPECT_TRUE(render(source).starts_with("error: line 1, column ")) << render(source) << source;
  }
}

TEST(Template, TakesWhatPythonTakes) {
  EXPECT_EQ(render("{{ '{:05}|{:>4}|{:.1}'.format('a', 'b', 'cd') }}"), "a0000|   b|c");
  EXPECT_EQ(render("{{ '{:-5}|{:+d}|{:,}|{:_x}'.format(3, 5, 12345, 55555555) }}"),
            "    3|+5|12,345|34f_b5e3");
  EXPECT_EQ(render("{{ '%+d|% d|%d' % (5, 5, -5) }}"), "+5| 5|-5");
  EXPECT_EQ(render("{{ [2, 3, 1] | sort(true) }} {{ [2, 1] | sort(0) }}"), "[3, 2, 1] [1, 2]");
  EXPECT_EQ(render("{{ namespace() is filter }} {{ nothing is test }} {{ 'odd' is test }}"),
            "False False True");
}

}  // namespace
}  // namespace nibble

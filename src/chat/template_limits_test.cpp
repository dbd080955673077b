// Templates that try to use up stack, memory, time or output end with a clear error.
#include <gtest/gtest.h>

#include <string>

#include "chat/template.h"

namespace nibble {
namespace {

std::string repeat(std::string_view text, size_t n) {
  std::string out;
  out.reserve(text.size() * n);
  for (size_t i = 0; i < n; ++i) out += text;
  return out;
}

// The error of parsing or rendering; success is a failure of the test.
Error error_of(const std::string& source, const RenderOptions& options = {}) {
  const Result<Template> parsed = Template::parse(source, "template");
  if (!parsed) return parsed.error();
  const Result<std::string> text = parsed->render(Json::object(), options);
  if (!text) return text.error();
  ADD_FAILURE() << "rendered " << text->size() << " bytes: " << source.substr(0, 200);
  return Error(ErrorCode::kInvalidArgument, "");
}

void expect_limit(const std::string& source, const RenderOptions& options = {}) {
  const Error error = error_of(source, options);
  EXPECT_EQ(error.code, ErrorCode::kLimit) << error.message << "\nof " << source.substr(0, 200);
  EXPECT_NE(error.message.find("line "), std::string::npos) << error.message;
}

TEST(TemplateLimits, NestedSyntax) {
  const std::string nested[] = {
      "{{ " + repeat("(", 6000) + "1" + repeat(")", 6000) + " }}",
      "{{ " + repeat("[", 6000) + repeat("]", 6000) + " }}",
      "{{ " + repeat("{1:", 6000) + "1" + repeat("}", 6000) + " }}",
      "{{ " + repeat("not ", 50000) + "1 }}",
      "{{ " + repeat("- ", 50000) + "1 }}",
      "{{ " + repeat("1 if 1 else ", 50000) + "1 }}",
      "{{ " + repeat("1 + ", 50000) + "1 }}",
      "{{ " + repeat("1 and ", 50000) + "1 }}",
      "{{ " + repeat("2 ** ", 50000) + "1 }}",
      "{{ x" + repeat(".a", 50000) + " }}",
      "{{ x" + repeat("[0]", 50000) + " }}",
      "{{ x" + repeat("()", 50000) + " }}",
      "{{ x" + repeat("|upper", 50000) + " }}",
      "{{ x" + repeat("[f(", 5000) + repeat(")]", 5000) + " }}",
      repeat("{% if 1 %}", 50000) + repeat("{% endif %}", 50000),
      repeat("{% for i in [1] %}", 5000) + repeat("{% endfor %}", 5000),
      repeat("{% if 1 %}", 50000),
      "{% filter " + repeat("upper|", 50000) + "upper %}x{% endfilter %}",
      "{% set " + repeat("(", 6000) + "x" + repeat(")", 6000) + " = 1 %}",
  };
  for (const std::string& source : nested) expect_limit(source);
}

TEST(TemplateLimits, ManyBranchesAreNoNesting) {
  std::string source = "{% if x == 0 %}0";
  for (int i = 1; i < 5000; ++i) {
    source += "{% elif x == " + std::to_string(i) + " %}" + std::to_string(i);
  }
  source += "{% endif %}{{ 'a'" + repeat(" ~ 'b'", 5000) + " }}";
  const Result<Template> parsed = Template::parse(source, "template");
  ASSERT_TRUE(parsed.has_value());
  const Result<std::string> text = parsed->render({{"x", 4999}});
  ASSERT_TRUE(text.has_value()) << text.error().to_string();
  EXPECT_EQ(*text, "4999a" + repeat("b", 5000));
}

TEST(TemplateLimits, LongJoinsAreCountedOnce) {
  const Result<Template> parsed = Template::parse(
      "{{ (['a'] * 100000)|join(',')|length }} {{ ','.join(['a'] * 100000)|length }}", "template");
  ASSERT_TRUE(parsed.has_value());
  const Result<std::string> text = parsed->render({});
  ASSERT_TRUE(text.has_value()) << text.error().to_string();
  EXPECT_EQ(*text, "199999 199999");
}

TEST(TemplateLimits, EndlessRecursion) {
  expect_limit("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}");
  expect_limit(
      "{% macro f(x) %}{% if 1 %}{% for i in [1] %}{% set y %}{{ (([f(x) ~ 'a'])) }}"
      "{% endset %}{% endfor %}{% endif %}{% endmacro %}{{ f(1) }}");
  expect_limit(
      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}");
  expect_limit("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}");
  expect_limit("{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}");
  expect_limit("{% block a %}{{ self.a() }}{% endblock %}");
}

TEST(TemplateLimits, RecursionToAUsefulDepthWorks) {
  const auto parsed = Template::parse(
      "{% macro f(n) %}{% if n > 0 %}{{ n }} {{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(100) }}",
      "template");
  ASSERT_TRUE(parsed.has_value());
  const auto text = parsed->render(Json::object());
  ASSERT_TRUE(text.has_value()) << text.error().to_string();
  EXPECT_TRUE(text->starts_with("100 99 "));
}

TEST(TemplateLimits, HugeValues) {
  const char* huge[] = {
      "{{ 'a' * 10 ** 9 }}",
      "{{ 'a' * 10 ** 18 }}",
      "{{ [0] * 10 ** 9 }}",
      "{{ (0,) * 10 ** 18 }}",
      "{{ 'a'.center(10 ** 9) }}",
      "{{ 'a'.ljust(10 ** 9) }}",
      "{{ 'a'.zfill(10 ** 9) }}",
      "{{ 'a' | center(10 ** 9) }}",
      "{{ 'a\nb' | indent(10 ** 9) }}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '%.1000000000f' % 1 }}",
      "{{ '%*d' % (10 ** 9, 1) }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ '{:.1000000000f}'.format(1.5) }}",
      "{{ '\t'.expandtabs(10 ** 9) }}",
      "{{ [1] | tojson(indent=10 ** 9) }}",
      "{{ [1] | batch(10 ** 9, 0) | list }}",
      "{{ [1] | slice(10 ** 9, 0) | list }}",
      "{{ 10 ** (10 ** 10) }}",
      "{{ 2 ** 100000 }}",
      "{{ range(0, 10 ** 18, 10 ** 17) }}",
      "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}"
      "{% endfor %}",
      "{% set ns = namespace(s=[1]) %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}"
      "{% endfor %}",
      "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}"
      "{% endfor %}",
      "{% set ns = namespace(s='ab') %}{% for i in range(100) %}"
      "{% set ns.s = ns.s.replace('', ns.s) %}{% endfor %}",
      "{% set ns = namespace(s='ab') %}{% for i in range(100) %}"
      "{% set ns.s = ns.s.join([ns.s, ns.s, ns.s]) %}{% endfor %}",
      "{% set ns = namespace(s='ab') %}{% for i in range(100) %}"
      "{% set ns.s = '%s%s' % (ns.s, ns.s) %}{% endfor %}",
      "{% set ns = namespace(i=2) %}{% for i in range(100) %}{% set ns.i = ns.i * ns.i %}{% endfor "
      "%}",
  };
  RenderOptions options;
  options.limits.max_value_bytes = 16 << 20;
  for (const char* source : huge) expect_limit(source, options);
}

TEST(TemplateLimits, DeepValues) {
  const char* deep[] = {
      "{% set ns = namespace(x=1) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}",
      "{% set ns = namespace(x=1) %}{% for i in range(99999) %}{% set ns.x = {'a': ns.x} %}"
      "{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}"
      "{% set ns.x = ns.x | map('upper') %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}"
      "{% set ns.x = ns.x | items if false else ns.x | unique %}{% endfor %}",
      "{% set ns = namespace(x={}) %}{% for i in range(99999) %}{% set ns.x = {'a': ns.x.get} %}"
      "{% endfor %}",
      "{% set ns = namespace(x=1) %}{% for i in range(99999) %}{% set ns.x = cycler(ns.x) %}"
      "{% endfor %}",
      "{% set ns = namespace(x=1) %}{% for i in range(99999) %}{% for j in [ns.x] %}"
      "{% set ns.x = loop %}{% endfor %}{% endfor %}",
  };
  for (const char* source : deep) expect_limit(source);
}

// Cycles and long chains through mutable objects: they must be taken apart without recursion.
TEST(TemplateLimits, CyclesAndChainsAreFreed) {
  const char* sources[] = {
      "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns.me.me.me is defined }}",
      "{% set ns = namespace(x=1) %}{% for i in range(60000) %}"
      "{% set ns.x = namespace(prev=ns.x) %}{% endfor %}{{ ns.x is defined }}",
      "{% set ns = namespace(x=1) %}{% for i in range(60000) %}{% set p = ns.x %}"
      "{% macro m() %}{{ p }}{% endmacro %}{% set ns.x = m %}{% endfor %}{{ ns.x is defined }}",
      "{% set ns = namespace(x=1) %}{% for i in range(60000) %}{% for j in [1] recursive %}"
      "{% set p = ns.x %}{% set ns.x = loop %}{% endfor %}{% endfor %}{{ ns.x is defined }}",
      "{% for i in [1, 2] %}{% if loop.changed(loop) %}{% endif %}{% endfor %}True",
      "{% set ns = namespace(x=1) %}{% for i in range(60000) %}{% for j in [1] %}"
      "{% if loop.changed(ns.x) %}{% endif %}{% set ns.x = loop %}{% endfor %}{% endfor %}True",
  };
  for (const char* source : sources) {
    const auto parsed = Template::parse(source, "template");
    ASSERT_TRUE(parsed.has_value()) << parsed.error().to_string();
    const auto text = parsed->render(Json::object());
    ASSERT_TRUE(text.has_value()) << text.error().to_string() << "\n" << source;
    EXPECT_EQ(*text, "True");
  }
}

TEST(TemplateLimits, ExponentialWork) {
  RenderOptions options;
  options.limits.max_steps = 1'000'000;
  expect_limit(
      "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(90) %}{% set ns.a = [ns.a, ns.a] %}"
      "{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
      options);
  expect_limit(
      "{% set ns = namespace(a=(1,)) %}{% for i in range(90) %}{% set ns.a = (ns.a, ns.a) %}"
      "{% endfor %}{{ {ns.a: 1} | length }}",
      options);
  expect_limit(
      "{% set ns = namespace(a=[1]) %}{% for i in range(90) %}{% set ns.a = [ns.a, ns.a] %}"
      "{% endfor %}{{ ns.a }}",
      options);
  expect_limit(
      "{% set ns = namespace(a=[1]) %}{% for i in range(90) %}{% set ns.a = [ns.a, ns.a] %}"
      "{% endfor %}{{ ns.a | tojson }}",
      options);
}

TEST(TemplateLimits, StepsOutputAndTime) {
  RenderOptions options;
  options.limits.max_steps = 1000;
  expect_limit("{% for i in range(100000) %}{{ i }}{% endfor %}", options);
  options = {};
  options.limits.max_output_bytes = 1000;
  expect_limit("{% for i in range(100000) %}{{ i }}{% endfor %}", options);
  expect_limit("{% set x %}{{ 'a' * 2000 }}{% endset %}", options);
  options = {};
  options.limits.max_seconds = 0.0;
  expect_limit("{% for i in range(100000) %}{{ i }}{% endfor %}", options);
  options = {};
  options.limits.max_steps = 1'000'000;
  expect_limit(
      "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
      "{% endfor %}{% endfor %}{% endfor %}",
      options);
}

TEST(TemplateLimits, DeepVariables) {
  Json deep = 1;
  for (int i = 0; i < 1000; ++i) deep = Json::array({deep});
  const auto parsed = Template::parse("{{ x }}", "template");
  ASSERT_TRUE(parsed.has_value());
  const auto text = parsed->render({{"x", deep}});
  ASSERT_FALSE(text.has_value());
  EXPECT_EQ(text.error().code, ErrorCode::kLimit);
}

TEST(TemplateLimits, HugeSource) {
  const auto parsed = Template::parse(repeat("a", 5 << 20), "template");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().code, ErrorCode::kLimit);
}

}  // namespace
}  // namespace nibble

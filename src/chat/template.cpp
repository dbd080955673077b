#include "chat/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "chat/jinja/failure.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/parser.h"
#include "chat/jinja/runtime.h"
#include "chat/jinja/syntax.h"
#include "chat/jinja/unicode.h"

namespace nibble {
namespace {

constexpr size_t kMaxSourceBytes = size_t{4} << 20;

// "line L, column C"; both count from 1, columns in characters.
std::string place_of(std::string_view text, size_t offset) {
  text = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::count(text.begin(), text.end(), '\n');
  const size_t newline = text.rfind('\n');
  const std::string_view before =
      newline == std::string_view::npos ? text : text.substr(newline + 1);
  return fmt::format("line {}, column {}", line, jinja::count_code_points(before) + 1);
}

Error error_of(const jinja::Failure& failure, const jinja::Program& program, size_t position) {
  return Error(failure.code,
               fmt::format("{}: {}", place_of(program.text, failure.position.value_or(position)),
                           failure.message),
               program.subject);
}

}  // namespace

Template::Template(std::shared_ptr<const jinja::Program> program) : program_(std::move(program)) {}

const std::string& Template::source() const { return program_->source; }

Result<Template> Template::parse(std::string_view source, std::string_view subject) {
  if (source.size() > kMaxSourceBytes) {
    return Error(ErrorCode::kLimit,
                 fmt::format("the template has {} bytes; at most {} are read", source.size(),
                             kMaxSourceBytes),
                 std::string(subject));
  }
  const size_t bad = jinja::find_invalid_utf8(source);
  if (bad != std::string_view::npos) {
    return Error(ErrorCode::kCorrupt,
                 fmt::format("{}: the template is not valid UTF-8", place_of(source, bad)),
                 std::string(subject));
  }
  auto program = std::make_shared<jinja::Program>();
  program->source = source;
  program->text = jinja::normalize_newlines(source);
  program->subject = subject;
  try {
    jinja::Parser(*program).parse();
  } catch (const jinja::Failure& failure) {
    return error_of(failure, *program, 0);
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory, "not enough memory to parse the template",
                 std::string(subject));
  }
  return Template(std::move(program));
}

Result<Rendering> Template::render_with_spans(const Json& context,
                                              const RenderOptions& options) const {
  jinja::Runtime runtime(options);
  try {
    jinja::Interpreter interpreter(runtime, *program_, context);
    interpreter.run();
    return Rendering{interpreter.take_output(), interpreter.take_spans()};
  } catch (const jinja::Failure& failure) {
    return error_of(failure, *program_, runtime.position);
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory, "not enough memory to render the template",
                 program_->subject);
  }
}

Result<std::string> Template::render(const Json& context, const RenderOptions& options) const {
  ASSIGN_OR_RETURN(Rendering rendering, render_with_spans(context, options));
  return std::move(rendering.text);
}

}  // namespace nibble

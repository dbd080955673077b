// Chat templates: a Jinja2 interpreter for the templates that model checkpoints ship.
//
// The language is Jinja 3.1 as the transformers library sets it up: sandboxed, trim_blocks and
// lstrip_blocks on, `break` and `continue`, the `generation` tag, its own tojson, and the globals
// raise_exception and strftime_now. Values follow Python, integers of any size included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/result.h"

namespace nibble {

namespace jinja {
struct Program;
}

/// What one rendering may use before it is stopped. Templates come from strangers.
struct RenderLimits {
  uint64_t max_steps = 20'000'000;  ///< evaluated nodes, plus the size of large operations
  size_t max_output_bytes = size_t{64} << 20;  ///< of the rendered text
  size_t max_value_bytes = size_t{256} << 20;  ///< of all values alive at one time
  uint32_t max_depth = 1000;  ///< nested evaluations: expressions, blocks, macro calls
  double max_seconds = 20.0;  ///< wall time
};

/// Limits, and what a rendering sees of the world.
struct RenderOptions {
  RenderLimits limits;
  /// The local time that strftime_now tells; the system's clock where absent.
  std::optional<std::tm> local_time;
};

/// A rendered template.
struct Rendering {
  /// One `generation` block: [first, last) in code points of the text.
  struct Span {
    size_t first = 0;
    size_t last = 0;
  };
  std::string text;
  std::vector<Span> generation_spans;
};

/// A parsed template. Immutable; may be rendered from several threads at once.
class Template {
 public:
  /// Parses UTF-8 text; `subject` names it in errors.
  ///   cost     linear in the text
  ///   errors   kCorrupt with "line L, column C" for bad syntax, an unknown tag, filter or test;
  ///            kLimit for nesting beyond what can be evaluated safely or a text beyond 4 MB.
  ///            As in Jinja, an unknown filter or test within an `if` is an error only when
  ///            reached.
  static Result<Template> parse(std::string_view source, std::string_view subject);

  /// Renders with the members of the object `context` as variables.
  ///   errors   kInvalidArgument for what the template raises or Python would (the message of
  ///            raise_exception stands at its end, after "line L, column C: "), kLimit
  Result<std::string> render(const Json& context, const RenderOptions& options = {}) const;

  /// The same, also telling where the `generation` blocks lie.
  Result<Rendering> render_with_spans(const Json& context, const RenderOptions& options = {}) const;

  /// The text that was parsed.
  const std::string& source() const;

 private:
  explicit Template(std::shared_ptr<const jinja::Program> program);

  std::shared_ptr<const jinja::Program> program_;
};

}  // namespace nibble

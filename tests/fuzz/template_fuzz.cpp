// Fuzzes chat templates: parsing and rendering must end within their limits, whatever the text.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "chat/template.h"
#include "core/check.h"
#include "core/json.h"

namespace {

const nibble::Json& context() {
  static const nibble::Json json = nibble::parse_json(
                                       R"({"messages": [{"role": "system", "content": "Be brief."},
                       {"role": "user", "content": "Ünï <|im_end|> 1"},
                       {"role": "assistant", "content": "x", "tool_calls": [{"function":
                        {"name": "f", "arguments": {"a": [1, 2.5, null, true, -7]}}}]}],
          "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
          "add_generation_prompt": true, "n": 3, "text": "a b,c", "list": [3, 1, 2]})",
                                       "context")
                                       .value();
  return json;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const nibble::Result<nibble::Template> parsed = nibble::Template::parse(source, "input");
  if (!parsed) return 0;
  nibble::RenderOptions options;
  options.limits.max_steps = 200'000;
  options.limits.max_output_bytes = size_t{1} << 20;
  options.limits.max_value_bytes = size_t{16} << 20;
  options.limits.max_seconds = 2.0;
  const nibble::Result<std::string> text = parsed->render(context(), options);
  CHECK(!text.has_value() || text->size() <= options.limits.max_output_bytes);
  return 0;
}

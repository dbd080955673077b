// Macros, and the other blocks that have a scope of their own.
#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/parser.h"

namespace nibble::jinja {

// The body of a block whose variables are its own. Unknown filters in it count for it alone.
Body Parser::parse_frame(std::initializer_list<std::string_view> ends) {
  const uint32_t outer_frame = std::exchange(frame_, n_frames_++);
  Body body = parse_block_body(ends);
  take();
  frame_ = outer_frame;
  return body;
}

std::unique_ptr<Statement> Parser::parse_with() {
  auto node = std::make_unique<With>(take().position);
  while (current().kind != TokenKind::kBlockEnd) {
    if (!node->assignments.empty()) expect_operator(",");
    // Jinja reads the target as a tuple that ends where the "=" stands.
    ExpressionPtr target = parse_target({}, false, true);
    expect_operator("=");
    node->assignments.emplace_back(std::move(target), parse_expression());
  }
  node->body = parse_frame({"endwith"});
  return node;
}

Signature Parser::parse_signature() {
  Signature signature;
  expect_operator("(");
  while (!at_operator(")")) {
    if (!signature.parameters.empty()) expect_operator(",");
    const Position position = current().position;
    Signature::Parameter parameter;
    parameter.name = expect_name();
    const std::string_view name = parameter.name;
    if (name == "true" || name == "false" || name == "none" || name == "True" || name == "False" ||
        name == "None") {
      fail_syntax("can't assign to 'const'", position);
    }
    const bool is_repeated =
        std::any_of(signature.parameters.begin(), signature.parameters.end(),
                    [&](const Signature::Parameter& other) { return other.name == name; });
    if (is_repeated) fail_syntax(fmt::format("duplicate parameter '{}'", name), position);
    parameter.symbol = symbol_of(name);
    declare_name(name, true, position);
    if (skip_operator("=")) {
      parameter.default_value = parse_expression();
    } else if (!signature.parameters.empty() && signature.parameters.back().default_value) {
      fail_syntax("non-default argument follows default argument", position);
    }
    signature.parameters.push_back(std::move(parameter));
  }
  expect_operator(")");
  return signature;
}

// The body of something that is called: no loop around it can be left from inside.
Body Parser::parse_macro_body(Signature& signature, std::string_view end) {
  const Position position = current().position;
  const uint32_t outer_loops = std::exchange(loop_depth_, 0);
  macros_.emplace_back();
  Body body = parse_frame({end});
  const MacroUse use = std::move(macros_.back());
  macros_.pop_back();
  loop_depth_ = outer_loops;

  const auto find = [&](std::string_view name) {
    return std::find_if(signature.parameters.begin(), signature.parameters.end(),
                        [&](const Signature::Parameter& p) { return p.name == name; });
  };
  const auto none = signature.parameters.end();
  signature.takes_caller = use.used.count("caller") != 0;
  signature.takes_varargs = use.used.count("varargs") != 0 && find("varargs") == none;
  signature.takes_kwargs = use.used.count("kwargs") != 0 && find("kwargs") == none;
  if (signature.takes_caller && find("caller") != none && !find("caller")->default_value) {
    fail_syntax(
        "When defining macros or call blocks the special \"caller\" argument must be omitted or be "
        "given a default.",
        position);
  }
  return body;
}

std::unique_ptr<Statement> Parser::parse_macro() {
  auto node = std::make_unique<Macro>(take().position);
  const Position position = current().position;
  node->name = expect_name();
  declare_name(node->name, false, position);
  node->symbol = symbol_of(node->name);
  const uint32_t outer_frame = std::exchange(frame_, n_frames_++);
  node->signature = parse_signature();
  frame_ = outer_frame;
  node->body = parse_macro_body(node->signature, "endmacro");
  return node;
}

std::unique_ptr<Statement> Parser::parse_call_block() {
  auto node = std::make_unique<CallBlock>(take().position);
  if (at_operator("(")) {
    const uint32_t outer_frame = std::exchange(frame_, n_frames_++);
    node->signature = parse_signature();
    frame_ = outer_frame;
  }
  node->call = parse_expression();
  if (node->call->kind != ExpressionKind::kCall) fail_syntax("expected call", node->position);
  node->body = parse_macro_body(node->signature, "endcall");
  return node;
}

std::unique_ptr<Statement> Parser::parse_filter_block() {
  auto node = std::make_unique<FilterBlock>(take().position);
  const uint32_t outer_frame = std::exchange(frame_, n_frames_++);
  node->filter = parse_filter(nullptr);
  while (skip_operator("|")) node->filter = parse_filter(std::move(node->filter));
  frame_ = outer_frame;
  node->body = parse_frame({"endfilter"});
  return node;
}

std::unique_ptr<Statement> Parser::parse_autoescape() {
  auto node = std::make_unique<Autoescape>(take().position);
  node->value = parse_expression();
  node->body = parse_frame({"endautoescape"});
  return node;
}

std::unique_ptr<Statement> Parser::parse_block() {
  auto node = std::make_unique<Block>(take().position);
  const Position position = current().position;
  node->name = expect_name();
  node->is_scoped = skip_name("scoped");
  node->is_required = skip_name("required");
  if (at_operator("-")) {
    fail_syntax("Block names may not contain hyphens, use an underscore instead.",
                current().position);
  }
  if (!program_.blocks.emplace(node->name, node.get()).second) {
    fail_syntax(fmt::format("block '{}' defined twice", node->name), position);
  }
  // A block is rendered on its own: neither loops nor macros around it reach into it.
  const uint32_t outer_loops = std::exchange(loop_depth_, 0);
  std::vector<MacroUse> outer_macros = std::exchange(macros_, {});
  node->body = parse_frame({"endblock"});
  macros_ = std::move(outer_macros);
  loop_depth_ = outer_loops;
  skip_name(node->name);
  return node;
}

std::unique_ptr<Statement> Parser::parse_generation() {
  auto node = std::make_unique<Generation>(take().position);
  const uint32_t outer_loops = std::exchange(loop_depth_, 0);
  node->body = parse_frame({"endgeneration"});
  loop_depth_ = outer_loops;
  return node;
}

}  // namespace nibble::jinja

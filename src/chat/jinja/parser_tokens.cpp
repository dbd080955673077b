// The parser's view of its tokens, and its bookkeeping of names and depths.
#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/parser.h"

namespace nibble::jinja {

Parser::DepthGuard::DepthGuard(Parser& parser) : parser_(parser) {
  if (parser.expression_depth_ >= kMaxExpressionDepth) {
    throw Failure{ErrorCode::kLimit,
                  fmt::format("expressions are nested deeper than {} levels", kMaxExpressionDepth),
                  parser.current().position};
  }
  ++parser.expression_depth_;
}

Parser::Parser(Program& program) : program_(program), tokens_(tokenize(program.text)) {}

const Token& Parser::ahead(size_t n) const {
  return tokens_[std::min(at_ + n, tokens_.size() - 1)];
}

const Token& Parser::take() {
  const Token& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool Parser::at_operator(std::string_view symbol) const {
  return current().kind == TokenKind::kOperator && current().text == symbol;
}

bool Parser::at_name(std::string_view name) const {
  return current().kind == TokenKind::kName && current().text == name;
}

bool Parser::skip_operator(std::string_view symbol) {
  const bool found = at_operator(symbol);
  if (found) take();
  return found;
}

bool Parser::skip_name(std::string_view name) {
  const bool found = at_name(name);
  if (found) take();
  return found;
}

void Parser::fail_expected(std::string_view what) const {
  if (current().kind == TokenKind::kEnd) {
    fail_syntax(fmt::format("unexpected end of template, expected '{}'.", what),
                current().position);
  }
  fail_syntax(fmt::format("expected token '{}', got '{}'", what, describe(current())),
              current().position);
}

void Parser::expect_operator(std::string_view symbol) {
  if (!skip_operator(symbol)) fail_expected(symbol);
}

void Parser::expect_kind(TokenKind kind, std::string_view what) {
  if (current().kind != kind) fail_expected(what);
  take();
}

std::string Parser::expect_name() {
  if (current().kind != TokenKind::kName) fail_expected("name");
  return take().text;
}

Symbol Parser::symbol_of(std::string_view name) {
  const auto [entry, is_new] =
      symbols_.try_emplace(std::string(name), static_cast<Symbol>(program_.symbols.size()));
  if (is_new) program_.symbols.emplace_back(name);
  return entry->second;
}

uint32_t Parser::constant(ConstantValue value) {
  program_.constants.push_back(std::move(value));
  return static_cast<uint32_t>(program_.constants.size() - 1);
}

void Parser::adopt(Expression& parent, const ExpressionPtr& child) const {
  if (!child) return;
  parent.height = std::max(parent.height, child->height + 1);
  if (parent.height > kMaxExpressionDepth) {
    throw Failure{ErrorCode::kLimit,
                  fmt::format("an expression has more than {} levels", kMaxExpressionDepth),
                  parent.position};
  }
}

void Parser::adopt(Expression& parent, const CallArguments& arguments) const {
  for (const ExpressionPtr& argument : arguments.positional) adopt(parent, argument);
  for (const auto& [name, argument] : arguments.named) adopt(parent, argument);
  adopt(parent, arguments.star);
  adopt(parent, arguments.double_star);
}

void Parser::use_name(std::string_view name) {
  if (name != "caller" && name != "varargs" && name != "kwargs") return;
  for (MacroUse& macro : macros_) {
    if (macro.declared.count(name) == 0) macro.used.emplace(name);
  }
}

void Parser::declare_name(std::string_view name, bool is_parameter, Position position) {
  if (name == "loop" && !is_parameter && for_depth_ > 0) {
    fail_syntax("Can't assign to special loop variable in for-loop target", position);
  }
  for (MacroUse& macro : macros_) macro.declared.emplace(name);
}

// What was found unknown since then stands in an if or a conditional of this frame.
void Parser::soften(size_t first_unknown) {
  unknown_.erase(
      std::remove_if(unknown_.begin() + static_cast<std::ptrdiff_t>(first_unknown), unknown_.end(),
                     [&](const Unknown& entry) { return entry.frame == frame_; }),
      unknown_.end());
}

}  // namespace nibble::jinja

// Text, tags, assignments and control flow.
#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/parser.h"

namespace nibble::jinja {

void Parser::parse() {
  program_.body = parse_body({});
  if (!unknown_.empty()) fail_syntax(unknown_[0].message, unknown_[0].position);
}

void Parser::fail_tag(const Token& tag) const {
  std::string message = fmt::format("Encountered unknown tag '{}'.", tag.text);
  if (!open_tags_.empty()) {
    const auto& [name, ends] = open_tags_.back();
    message += fmt::format(
        " Jinja was looking for the following tags: '{}'. The innermost block that needs to be "
        "closed is '{}'.",
        fmt::join(ends, "' or '"), name);
  }
  fail_syntax(std::move(message), tag.position);
}

void Parser::fail_end() const {
  const auto& [name, ends] = open_tags_.back();
  fail_syntax(fmt::format("Unexpected end of template. Jinja was looking for the following tags: "
                          "'{}'. The innermost block that needs to be closed is '{}'.",
                          fmt::join(ends, "' or '"), name),
              current().position);
}

// Everything up to one of the tags that end the block; that tag's name is then the current token.
Body Parser::parse_body(std::initializer_list<std::string_view> ends) {
  Body body;
  while (current().kind != TokenKind::kEnd) {
    const Token& token = take();
    if (token.kind == TokenKind::kData) {
      auto text = std::make_unique<Text>(token.position);
      text->text = token.text;
      body.push_back(std::move(text));
    } else if (token.kind == TokenKind::kVariableBegin) {
      auto print = std::make_unique<Print>(token.position);
      print->values.push_back(parse_tuple({}));
      expect_kind(TokenKind::kVariableEnd, "end of print statement");
      body.push_back(std::move(print));
    } else {
      const bool is_end = current().kind == TokenKind::kName &&
                          std::find(ends.begin(), ends.end(), current().text) != ends.end();
      if (is_end) return body;
      body.push_back(parse_statement());
      expect_kind(TokenKind::kBlockEnd, "end of statement block");
    }
  }
  if (ends.size() != 0) fail_end();
  return body;
}

// The rest of an opening tag and the block's body.
Body Parser::parse_block_body(std::initializer_list<std::string_view> ends) {
  skip_operator(":");
  expect_kind(TokenKind::kBlockEnd, "end of statement block");
  open_tags_.back().second.assign(ends.begin(), ends.end());
  return parse_body(ends);
}

std::unique_ptr<Statement> Parser::parse_statement() {
  struct Tag {
    std::string_view name;
    std::unique_ptr<Statement> (Parser::*parse)();
  };
  static constexpr Tag kTags[] = {
      {"autoescape", &Parser::parse_autoescape},
      {"block", &Parser::parse_block},
      {"break", &Parser::parse_jump},
      {"call", &Parser::parse_call_block},
      {"continue", &Parser::parse_jump},
      {"extends", &Parser::parse_refused},
      {"filter", &Parser::parse_filter_block},
      {"for", &Parser::parse_for},
      {"from", &Parser::parse_refused},
      {"generation", &Parser::parse_generation},
      {"if", &Parser::parse_if},
      {"import", &Parser::parse_refused},
      {"include", &Parser::parse_refused},
      {"macro", &Parser::parse_macro},
      {"print", &Parser::parse_print},
      {"set", &Parser::parse_set},
      {"with", &Parser::parse_with},
  };
  const Token& token = current();
  if (token.kind != TokenKind::kName) fail_syntax("tag name expected", token.position);
  for (const Tag& tag : kTags) {
    if (tag.name != token.text) continue;
    if (open_tags_.size() >= kMaxBlockDepth) {
      throw Failure{ErrorCode::kLimit,
                    fmt::format("blocks are nested deeper than {} levels", kMaxBlockDepth),
                    token.position};
    }
    open_tags_.emplace_back(token.text, std::vector<std::string_view>());
    std::unique_ptr<Statement> statement = (this->*tag.parse)();
    open_tags_.pop_back();
    return statement;
  }
  fail_tag(token);
}

std::unique_ptr<Statement> Parser::parse_print() {
  auto node = std::make_unique<Print>(take().position);
  while (current().kind != TokenKind::kBlockEnd) {
    if (!node->values.empty()) expect_operator(",");
    node->values.push_back(parse_expression());
  }
  return node;
}

std::unique_ptr<Statement> Parser::parse_if() {
  auto node = std::make_unique<If>(current().position);
  const size_t first_unknown = unknown_.size();
  TupleStyle style;
  style.with_conditional = false;
  do {
    take();
    ExpressionPtr test = parse_tuple(style);
    node->branches.emplace_back(std::move(test), parse_block_body({"elif", "else", "endif"}));
  } while (at_name("elif"));
  if (take().text == "else") {
    node->otherwise = parse_block_body({"endif"});
    take();
  }
  soften(first_unknown);
  return node;
}

std::unique_ptr<Statement> Parser::parse_for() {
  auto node = std::make_unique<For>(take().position);
  ++for_depth_;
  node->target = parse_target("in", false, false);
  if (!skip_name("in")) fail_expected("in");
  TupleStyle style;
  style.with_conditional = false;
  style.end_name = "recursive";
  node->iterable = parse_tuple(style);
  const uint32_t outer_frame = std::exchange(frame_, n_frames_++);
  if (skip_name("if")) node->condition = parse_expression();
  node->is_recursive = skip_name("recursive");
  ++loop_depth_;
  node->body = parse_block_body({"endfor", "else"});
  --loop_depth_;
  if (take().text == "else") {
    node->otherwise = parse_block_body({"endfor"});
    take();
  }
  frame_ = outer_frame;
  --for_depth_;
  return node;
}

std::unique_ptr<Statement> Parser::parse_set() {
  const Position position = take().position;
  ExpressionPtr target = parse_target({}, true, false);
  if (skip_operator("=")) {
    auto node = std::make_unique<Set>(position);
    node->target = std::move(target);
    node->value = parse_tuple({});
    return node;
  }
  auto node = std::make_unique<SetBlock>(position);
  node->target = std::move(target);
  const uint32_t outer_frame = std::exchange(frame_, n_frames_++);
  while (skip_operator("|")) node->filter = parse_filter(std::move(node->filter));
  node->body = parse_block_body({"endset"});
  take();
  frame_ = outer_frame;
  return node;
}

std::unique_ptr<Statement> Parser::parse_jump() {
  const Token& token = take();
  if (loop_depth_ == 0) fail_syntax(fmt::format("'{}' outside loop", token.text), token.position);
  return std::make_unique<Jump>(
      token.text == "break" ? StatementKind::kBreak : StatementKind::kContinue, token.position);
}

// The expression between tag and closing delimiter is checked, but never used.
std::unique_ptr<Statement> Parser::parse_refused() {
  const Token& token = take();
  auto node = std::make_unique<Refused>(token.position);
  node->tag = token.text;
  parse_expression();
  while (current().kind == TokenKind::kName || at_operator(",")) take();
  return node;
}

ExpressionPtr Parser::parse_target(std::string_view end_name, bool with_namespace,
                                   bool is_parameter) {
  TupleStyle style;
  style.only_primaries = true;
  style.with_namespace = with_namespace;
  style.end_name = end_name;
  ExpressionPtr target = parse_tuple(style);
  check_target(*target, is_parameter);
  return target;
}

void Parser::check_target(const Expression& target, bool is_parameter) {
  switch (target.kind) {
    case ExpressionKind::kName: {
      const auto& name = static_cast<const Name&>(target);
      declare_name(program_.symbols[name.symbol], is_parameter, target.position);
      return;
    }
    case ExpressionKind::kTuple:
      for (const ExpressionPtr& item : static_cast<const Display&>(target).items) {
        check_target(*item, is_parameter);
      }
      return;
    case ExpressionKind::kNamespaceTarget:
      return;
    case ExpressionKind::kConstant:
      fail_syntax("can't assign to 'const'", target.position);
    default:
      fail_syntax("can't assign to this expression", target.position);
  }
}

}  // namespace nibble::jinja

// Names, literals, and what may follow them: attributes, items, calls, filters and tests.
#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/numbers.h"
#include "chat/jinja/parser.h"

namespace nibble::jinja {

ExpressionPtr Parser::parse_primary(bool with_namespace) {
  switch (current().kind) {
    case TokenKind::kName:
      return parse_name(with_namespace);
    case TokenKind::kString:
      return parse_string();
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return parse_number();
    default:
      break;
  }
  if (skip_operator("(")) {
    TupleStyle style;
    style.in_parentheses = true;
    ExpressionPtr node = parse_tuple(style);
    expect_operator(")");
    return node;
  }
  if (at_operator("[")) return parse_list();
  if (at_operator("{")) return parse_dict();
  fail_syntax(fmt::format("unexpected '{}'", describe(current())), current().position);
}

ExpressionPtr Parser::parse_name(bool with_namespace) {
  const Token& token = take();
  const std::string& name = token.text;
  const bool is_true = name == "true" || name == "True";
  if (is_true || name == "false" || name == "False") {
    auto node = std::make_unique<Constant>(token.position);
    node->index = constant(is_true);
    return node;
  }
  if (name == "none" || name == "None") {
    auto node = std::make_unique<Constant>(token.position);
    node->index = constant(std::monostate());
    return node;
  }
  if (with_namespace && skip_operator(".")) {
    auto node = std::make_unique<NamespaceTarget>(token.position);
    node->symbol = symbol_of(name);
    node->name = expect_name();
    return node;
  }
  auto node = std::make_unique<Name>(token.position);
  node->symbol = symbol_of(name);
  use_name(name);
  return node;
}

// Neighbouring strings are one.
ExpressionPtr Parser::parse_string() {
  auto node = std::make_unique<Constant>(current().position);
  std::string text;
  while (current().kind == TokenKind::kString) text += take().text;
  node->index = constant(std::move(text));
  return node;
}

ExpressionPtr Parser::parse_number() {
  const Token& token = take();
  auto node = std::make_unique<Constant>(token.position);
  if (token.kind == TokenKind::kFloat) {
    node->index = constant(parse_float(token.text).value_or(0));
    return node;
  }
  const std::optional<BigInt> value = parse_integer(token.text, 0);
  if (!value) fail_syntax(fmt::format("'{}' is not an integer", token.text), token.position);
  node->index = constant(*value);
  return node;
}

bool Parser::at_tuple_end(const TupleStyle& style) const {
  const TokenKind kind = current().kind;
  return kind == TokenKind::kVariableEnd || kind == TokenKind::kBlockEnd || at_operator(")") ||
         (!style.end_name.empty() && at_name(style.end_name));
}

ExpressionPtr Parser::parse_tuple(const TupleStyle& style) {
  auto node = std::make_unique<Display>(ExpressionKind::kTuple, current().position);
  bool is_tuple = false;
  while (true) {
    if (!node->items.empty()) expect_operator(",");
    if (at_tuple_end(style)) break;
    node->items.push_back(style.only_primaries ? parse_primary(style.with_namespace)
                                               : parse_expression(style.with_conditional));
    adopt(*node, node->items.back());
    if (!at_operator(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return node;
  if (!node->items.empty()) return std::move(node->items[0]);
  if (!style.in_parentheses) {
    fail_syntax(fmt::format("Expected an expression, got '{}'", describe(current())),
                current().position);
  }
  return node;
}

ExpressionPtr Parser::parse_list() {
  auto node = std::make_unique<Display>(ExpressionKind::kList, take().position);
  while (!at_operator("]")) {
    if (!node->items.empty()) expect_operator(",");
    if (at_operator("]")) break;
    node->items.push_back(parse_expression());
    adopt(*node, node->items.back());
  }
  expect_operator("]");
  return node;
}

ExpressionPtr Parser::parse_dict() {
  auto node = std::make_unique<DictDisplay>(take().position);
  while (!at_operator("}")) {
    if (!node->items.empty()) expect_operator(",");
    if (at_operator("}")) break;
    ExpressionPtr key = parse_expression();
    expect_operator(":");
    node->items.emplace_back(std::move(key), parse_expression());
    adopt(*node, node->items.back().first);
    adopt(*node, node->items.back().second);
  }
  expect_operator("}");
  return node;
}

ExpressionPtr Parser::parse_postfix(ExpressionPtr base) {
  while (true) {
    if (at_operator(".") || at_operator("[")) {
      base = parse_subscript(std::move(base));
    } else if (at_operator("(")) {
      base = parse_call(std::move(base));
    } else {
      return base;
    }
  }
}

ExpressionPtr Parser::parse_filters_and_tests(ExpressionPtr base) {
  while (true) {
    if (skip_operator("|")) {
      base = parse_filter(std::move(base));
    } else if (at_name("is")) {
      base = parse_test(std::move(base));
    } else if (at_operator("(")) {
      base = parse_call(std::move(base));
    } else {
      return base;
    }
  }
}

ExpressionPtr Parser::parse_subscript(ExpressionPtr base) {
  const Token& token = take();
  const Position position = token.position;
  if (token.text == "[") return parse_item(std::move(base), position);
  const Token& name = take();
  if (name.kind == TokenKind::kName) {
    auto node = std::make_unique<Attribute>(position);
    node->name = name.text;
    adopt(*node, base);
    node->base = std::move(base);
    return node;
  }
  if (name.kind != TokenKind::kInteger) fail_syntax("expected name or number", name.position);
  --at_;
  auto node = std::make_unique<Item>(position);
  node->key = parse_number();
  adopt(*node, base);
  node->base = std::move(base);
  return node;
}

// What follows "[": one index, a slice, or several indices, which make a tuple.
ExpressionPtr Parser::parse_item(ExpressionPtr base, Position position) {
  auto slice = std::make_unique<Slice>(position);
  auto keys = std::make_unique<Display>(ExpressionKind::kTuple, position);
  bool is_slice = false;
  while (!at_operator("]")) {
    if (!keys->items.empty() || is_slice) {
      if (is_slice) fail_expected("]");
      expect_operator(",");
    }
    if (!at_operator(":")) {
      ExpressionPtr key = parse_expression();
      if (!at_operator(":")) {
        keys->items.push_back(std::move(key));
        adopt(*keys, keys->items.back());
        continue;
      }
      slice->bounds[0] = std::move(key);
    }
    if (!keys->items.empty()) fail_syntax("a slice cannot stand among several indices", position);
    is_slice = true;
    for (size_t i = 1; i < 3 && skip_operator(":"); ++i) {
      if (!at_operator(":") && !at_operator("]") && !at_operator(",")) {
        slice->bounds[i] = parse_expression();
      }
    }
  }
  expect_operator("]");
  if (is_slice) {
    adopt(*slice, base);
    for (const ExpressionPtr& bound : slice->bounds) adopt(*slice, bound);
    slice->base = std::move(base);
    return slice;
  }
  auto node = std::make_unique<Item>(position);
  if (keys->items.size() == 1) {
    node->key = std::move(keys->items[0]);
  } else {
    node->key = std::move(keys);
  }
  adopt(*node, base);
  adopt(*node, node->key);
  node->base = std::move(base);
  return node;
}

void Parser::parse_named_argument(CallArguments& arguments, Position call) {
  if (arguments.double_star) fail_syntax("invalid syntax for function call expression", call);
  const Token& key = take();
  const Position position = key.position;
  std::string name = key.text;
  expect_operator("=");
  const bool is_repeated = std::any_of(arguments.named.begin(), arguments.named.end(),
                                       [&](const auto& entry) { return entry.first == name; });
  if (is_repeated) fail_syntax(fmt::format("keyword argument repeated: {}", name), position);
  arguments.named.emplace_back(std::move(name), parse_expression());
}

CallArguments Parser::parse_arguments() {
  CallArguments arguments;
  const Position call = current().position;
  const auto require = [&](bool is_valid) {
    if (!is_valid) fail_syntax("invalid syntax for function call expression", call);
  };
  expect_operator("(");
  for (bool is_first = true; !at_operator(")"); is_first = false) {
    if (!is_first) {
      expect_operator(",");
      if (at_operator(")")) break;
    }
    if (skip_operator("*")) {
      require(!arguments.star && !arguments.double_star);
      arguments.star = parse_expression();
    } else if (skip_operator("**")) {
      require(!arguments.double_star);
      arguments.double_star = parse_expression();
    } else if (current().kind == TokenKind::kName && ahead().kind == TokenKind::kOperator &&
               ahead().text == "=") {
      parse_named_argument(arguments, call);
    } else {
      require(!arguments.star && !arguments.double_star && arguments.named.empty());
      arguments.positional.push_back(parse_expression());
    }
  }
  expect_operator(")");
  return arguments;
}

ExpressionPtr Parser::parse_call(ExpressionPtr callee) {
  auto node = std::make_unique<Call>(current().position);
  node->arguments = parse_arguments();
  adopt(*node, callee);
  adopt(*node, node->arguments);
  node->callee = std::move(callee);
  return node;
}

ExpressionPtr Parser::parse_filter(ExpressionPtr subject) {
  auto node = std::make_unique<FilterCall>(current().position);
  node->name = expect_name();
  while (skip_operator(".")) node->name += "." + expect_name();
  node->function = find_filter(node->name);
  if (node->function == nullptr) {
    unknown_.push_back(
        Unknown{fmt::format("No filter named '{}'.", node->name), node->position, frame_});
  }
  if (at_operator("(")) node->arguments = parse_arguments();
  adopt(*node, subject);
  adopt(*node, node->arguments);
  node->subject = std::move(subject);
  return node;
}

ExpressionPtr Parser::parse_test(ExpressionPtr subject) {
  auto node = std::make_unique<TestCall>(take().position);
  const bool is_negated = skip_name("not");
  const Position name_position = current().position;
  node->name = expect_name();
  while (skip_operator(".")) node->name += "." + expect_name();
  node->function = find_test(node->name);
  if (node->function == nullptr) {
    unknown_.push_back(
        Unknown{fmt::format("No test named '{}'.", node->name), name_position, frame_});
  }
  const TokenKind kind = current().kind;
  const bool has_operand =
      (kind == TokenKind::kName && !at_name("else") && !at_name("or") && !at_name("and")) ||
      kind == TokenKind::kString || kind == TokenKind::kInteger || kind == TokenKind::kFloat ||
      at_operator("[") || at_operator("{");
  if (at_operator("(")) {
    node->arguments = parse_arguments();
  } else if (has_operand) {
    if (at_name("is")) {
      fail_syntax("You cannot chain multiple tests with is", current().position);
    }
    const DepthGuard guard(*this);
    node->arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  adopt(*node, subject);
  adopt(*node, node->arguments);
  node->subject = std::move(subject);
  if (!is_negated) return node;
  auto negation = std::make_unique<Unary>(node->position);
  negation->op = Unary::Operator::kNot;
  negation->operand = std::move(node);
  adopt(*negation, negation->operand);
  return negation;
}

}  // namespace nibble::jinja

// Operators, from the loosest (a if b else c) to the tightest (unary minus).
#include <iterator>

#include "chat/jinja/parser.h"

namespace nibble::jinja {

ExpressionPtr Parser::parse_expression(bool with_conditional) {
  const DepthGuard guard(*this);
  return with_conditional ? parse_conditional() : parse_or();
}

ExpressionPtr Parser::parse_conditional() {
  const size_t first_unknown = unknown_.size();
  const Position position = current().position;
  ExpressionPtr left = parse_or();
  while (skip_name("if")) {
    auto node = std::make_unique<Conditional>(position);
    node->then = std::move(left);
    node->test = parse_or();
    if (skip_name("else")) {
      const DepthGuard guard(*this);
      node->otherwise = parse_conditional();
    }
    adopt(*node, node->test);
    adopt(*node, node->then);
    adopt(*node, node->otherwise);
    left = std::move(node);
    soften(first_unknown);
  }
  return left;
}

ExpressionPtr Parser::parse_or() {
  ExpressionPtr left = parse_and();
  while (at_name("or")) {
    auto node = std::make_unique<Logic>(take().position);
    node->left = std::move(left);
    node->right = parse_and();
    adopt(*node, node->left);
    adopt(*node, node->right);
    left = std::move(node);
  }
  return left;
}

ExpressionPtr Parser::parse_and() {
  ExpressionPtr left = parse_not();
  while (at_name("and")) {
    auto node = std::make_unique<Logic>(take().position);
    node->is_and = true;
    node->left = std::move(left);
    node->right = parse_not();
    adopt(*node, node->left);
    adopt(*node, node->right);
    left = std::move(node);
  }
  return left;
}

ExpressionPtr Parser::parse_not() {
  if (!at_name("not")) return parse_comparison();
  const DepthGuard guard(*this);
  auto node = std::make_unique<Unary>(take().position);
  node->op = Unary::Operator::kNot;
  node->operand = parse_not();
  adopt(*node, node->operand);
  return node;
}

ExpressionPtr Parser::parse_comparison() {
  struct Symbols {
    std::string_view symbol;
    Comparison op;
  };
  static constexpr Symbols kSymbols[] = {
      {"==", Comparison::kEqual},       {"!=", Comparison::kNotEqual},
      {"<", Comparison::kLess},         {">", Comparison::kGreater},
      {"<=", Comparison::kLessOrEqual}, {">=", Comparison::kGreaterOrEqual}};
  const Position position = current().position;
  ExpressionPtr first = parse_sum();
  auto node = std::make_unique<ComparisonChain>(position);
  while (true) {
    Comparison op = Comparison::kIn;
    const Symbols* found = nullptr;
    for (const Symbols& candidate : kSymbols) {
      if (at_operator(candidate.symbol)) found = &candidate;
    }
    if (found != nullptr) {
      op = found->op;
      take();
    } else if (at_name("not") && ahead().kind == TokenKind::kName && ahead().text == "in") {
      op = Comparison::kNotIn;
      take();
      take();
    } else if (!skip_name("in")) {
      break;
    }
    node->rest.emplace_back(op, parse_sum());
    adopt(*node, node->rest.back().second);
  }
  if (node->rest.empty()) return first;
  adopt(*node, first);
  node->first = std::move(first);
  return node;
}

ExpressionPtr Parser::make_binary(BinaryOperator op, ExpressionPtr left, ExpressionPtr right,
                                  Position position) {
  auto node = std::make_unique<Binary>(position);
  node->op = op;
  node->left = std::move(left);
  node->right = std::move(right);
  adopt(*node, node->left);
  adopt(*node, node->right);
  return node;
}

ExpressionPtr Parser::parse_sum() {
  ExpressionPtr left = parse_concat();
  while (at_operator("+") || at_operator("-")) {
    const Token& sign = take();
    const BinaryOperator op = sign.text == "+" ? BinaryOperator::kAdd : BinaryOperator::kSubtract;
    left = make_binary(op, std::move(left), parse_concat(), sign.position);
  }
  return left;
}

ExpressionPtr Parser::parse_concat() {
  const Position position = current().position;
  ExpressionPtr first = parse_product();
  if (!at_operator("~")) return first;
  auto node = std::make_unique<Concat>(position);
  adopt(*node, first);
  node->parts.push_back(std::move(first));
  while (skip_operator("~")) {
    node->parts.push_back(parse_product());
    adopt(*node, node->parts.back());
  }
  return node;
}

ExpressionPtr Parser::parse_product() {
  struct Symbols {
    std::string_view symbol;
    BinaryOperator op;
  };
  static constexpr Symbols kSymbols[] = {{"*", BinaryOperator::kMultiply},
                                         {"/", BinaryOperator::kDivide},
                                         {"//", BinaryOperator::kFloorDivide},
                                         {"%", BinaryOperator::kModulo}};
  ExpressionPtr left = parse_power();
  while (true) {
    const Symbols* found = nullptr;
    for (const Symbols& candidate : kSymbols) {
      if (at_operator(candidate.symbol)) found = &candidate;
    }
    if (found == nullptr) return left;
    const Position position = take().position;
    left = make_binary(found->op, std::move(left), parse_power(), position);
  }
}

ExpressionPtr Parser::parse_power() {
  ExpressionPtr left = parse_unary();
  while (at_operator("**")) {
    const Position position = take().position;
    left = make_binary(BinaryOperator::kPower, std::move(left), parse_unary(), position);
  }
  return left;
}

ExpressionPtr Parser::parse_unary(bool with_filter) {
  ExpressionPtr operand;
  if (at_operator("-") || at_operator("+")) {
    const DepthGuard guard(*this);
    const Token& sign = take();
    auto node = std::make_unique<Unary>(sign.position);
    node->op = sign.text == "-" ? Unary::Operator::kNegative : Unary::Operator::kPositive;
    node->operand = parse_unary(false);
    adopt(*node, node->operand);
    operand = std::move(node);
  } else {
    operand = parse_primary();
  }
  operand = parse_postfix(std::move(operand));
  return with_filter ? parse_filters_and_tests(std::move(operand)) : std::move(operand);
}

}  // namespace nibble::jinja

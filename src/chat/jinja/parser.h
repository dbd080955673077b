// Builds the syntax tree of a template from its tokens, by recursive descent.
//
// Precedence follows Jinja's own parser, which differs from Python's in places: `~` binds tighter
// than `+`, unary minus tighter than `**`, and filters bind to the operand before them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "chat/jinja/lexer.h"
#include "chat/jinja/syntax.h"

namespace nibble::jinja {

class Parser {
 public:
  /// Levels of nested expressions, and of nested blocks, that a template may have.
  static constexpr uint32_t kMaxExpressionDepth = 200;
  static constexpr uint32_t kMaxBlockDepth = 100;

  /// Fills in everything of the program but its source and subject. `program.text` is set.
  explicit Parser(Program& program);
  void parse();

 private:
  class DepthGuard;

  // A filter or test that does not exist. Inside an `if` it is an error only when reached, so these
  // wait until it is known whether they stand in one.
  struct Unknown {
    std::string message;
    Position position;
    uint32_t frame;
  };

  // The names that a macro's body uses without setting them.
  struct MacroUse {
    std::set<std::string, std::less<>> declared;
    std::set<std::string, std::less<>> used;
  };

  // Tokens (parser_tokens.cpp).
  const Token& current() const { return tokens_[at_]; }
  const Token& ahead(size_t n = 1) const;
  const Token& take();
  bool at_operator(std::string_view symbol) const;
  bool at_name(std::string_view name) const;
  bool skip_operator(std::string_view symbol);
  bool skip_name(std::string_view name);
  void expect_operator(std::string_view symbol);
  void expect_kind(TokenKind kind, std::string_view what);
  std::string expect_name();
  [[noreturn]] void fail_expected(std::string_view what) const;

  // Names, constants and tree heights (parser_tokens.cpp).
  Symbol symbol_of(std::string_view name);
  uint32_t constant(ConstantValue value);
  void adopt(Expression& parent, const ExpressionPtr& child) const;
  void adopt(Expression& parent, const CallArguments& arguments) const;
  void use_name(std::string_view name);
  void declare_name(std::string_view name, bool is_parameter, Position position);
  void soften(size_t first_unknown);

  // Expressions (parser_expressions.cpp).
  ExpressionPtr parse_expression(bool with_conditional = true);
  ExpressionPtr parse_conditional();
  ExpressionPtr parse_or();
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_comparison();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concat();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool with_filter = true);
  ExpressionPtr make_binary(BinaryOperator op, ExpressionPtr left, ExpressionPtr right,
                            Position position);

  // Operands (parser_operands.cpp).
  ExpressionPtr parse_primary(bool with_namespace = false);
  ExpressionPtr parse_name(bool with_namespace);
  ExpressionPtr parse_string();
  ExpressionPtr parse_number();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  ExpressionPtr parse_postfix(ExpressionPtr base);
  ExpressionPtr parse_filters_and_tests(ExpressionPtr base);
  ExpressionPtr parse_subscript(ExpressionPtr base);
  ExpressionPtr parse_item(ExpressionPtr base, Position position);
  ExpressionPtr parse_call(ExpressionPtr callee);
  ExpressionPtr parse_filter(ExpressionPtr subject);
  ExpressionPtr parse_test(ExpressionPtr subject);
  CallArguments parse_arguments();
  void parse_named_argument(CallArguments& arguments, Position call);

  struct TupleStyle {
    bool only_primaries = false;  ///< targets of assignments
    bool with_conditional = true;
    bool with_namespace = false;
    bool in_parentheses = false;     ///< an empty tuple is allowed
    std::string_view end_name = {};  ///< a name that ends the tuple ("in", "recursive")
  };
  ExpressionPtr parse_tuple(const TupleStyle& style);
  bool at_tuple_end(const TupleStyle& style) const;

  // Statements (parser_statements.cpp, parser_blocks.cpp).
  Body parse_body(std::initializer_list<std::string_view> ends);
  Body parse_block_body(std::initializer_list<std::string_view> ends);
  std::unique_ptr<Statement> parse_statement();
  std::unique_ptr<Statement> parse_print();
  std::unique_ptr<Statement> parse_if();
  std::unique_ptr<Statement> parse_for();
  std::unique_ptr<Statement> parse_set();
  std::unique_ptr<Statement> parse_with();
  std::unique_ptr<Statement> parse_macro();
  std::unique_ptr<Statement> parse_call_block();
  std::unique_ptr<Statement> parse_filter_block();
  std::unique_ptr<Statement> parse_autoescape();
  std::unique_ptr<Statement> parse_block();
  std::unique_ptr<Statement> parse_generation();
  std::unique_ptr<Statement> parse_jump();
  std::unique_ptr<Statement> parse_refused();
  ExpressionPtr parse_target(std::string_view end_name, bool with_namespace, bool is_parameter);
  void check_target(const Expression& target, bool is_parameter);
  Signature parse_signature();
  Body parse_macro_body(Signature& signature, std::string_view end);
  Body parse_frame(std::initializer_list<std::string_view> ends);
  [[noreturn]] void fail_tag(const Token& tag) const;
  [[noreturn]] void fail_end() const;

  Program& program_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::unordered_map<std::string, Symbol> symbols_;
  uint32_t expression_depth_ = 0;
  uint32_t for_depth_ = 0;   // for blocks around, of any kind
  uint32_t loop_depth_ = 0;  // for blocks that a break here would leave
  std::vector<std::pair<std::string, std::vector<std::string_view>>> open_tags_;
  std::vector<MacroUse> macros_;
  std::vector<Unknown> unknown_;
  uint32_t frame_ = 0;
  uint32_t n_frames_ = 1;
};

/// Counts one level of nested expressions while it lives.
class Parser::DepthGuard {
 public:
  explicit DepthGuard(Parser& parser);
  ~DepthGuard() { --parser_.expression_depth_; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  Parser& parser_;
};

}  // namespace nibble::jinja

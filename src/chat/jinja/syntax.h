// The syntax tree of a template.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "chat/jinja/big_int.h"
#include "chat/jinja/failure.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/operators.h"

namespace nibble::jinja {

/// A variable's name, as an index into Program::symbols.
using Symbol = uint32_t;

enum class ExpressionKind : uint8_t {
  kConstant,
  kName,
  kTuple,
  kList,
  kDict,
  kBinary,
  kUnary,
  kLogic,
  kConcat,
  kComparison,
  kConditional,
  kAttribute,
  kItem,
  kSlice,
  kCall,
  kFilter,
  kTest,
  kNamespaceTarget,
};

struct Expression {
  Expression(ExpressionKind k, Position p) : kind(k), position(p) {}
  virtual ~Expression() = default;
  ExpressionKind kind;
  Position position;
  uint32_t height = 1;  ///< levels of the tree below and including this one
};
using ExpressionPtr = std::unique_ptr<Expression>;

struct Constant : Expression {
  explicit Constant(Position p) : Expression(ExpressionKind::kConstant, p) {}
  uint32_t index = 0;  ///< into Program::constants
};

struct Name : Expression {
  explicit Name(Position p) : Expression(ExpressionKind::kName, p) {}
  Symbol symbol = 0;
};

/// Tuples and lists; a tuple of names is also a target of assignments.
struct Display : Expression {
  using Expression::Expression;
  std::vector<ExpressionPtr> items;
};

struct DictDisplay : Expression {
  explicit DictDisplay(Position p) : Expression(ExpressionKind::kDict, p) {}
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
};

struct Binary : Expression {
  explicit Binary(Position p) : Expression(ExpressionKind::kBinary, p) {}
  BinaryOperator op = BinaryOperator::kAdd;
  ExpressionPtr left;
  ExpressionPtr right;
};

struct Unary : Expression {
  enum class Operator : uint8_t { kNegative, kPositive, kNot };
  explicit Unary(Position p) : Expression(ExpressionKind::kUnary, p) {}
  Operator op = Operator::kNot;
  ExpressionPtr operand;
};

struct Logic : Expression {
  explicit Logic(Position p) : Expression(ExpressionKind::kLogic, p) {}
  bool is_and = false;
  ExpressionPtr left;
  ExpressionPtr right;
};

struct Concat : Expression {
  explicit Concat(Position p) : Expression(ExpressionKind::kConcat, p) {}
  std::vector<ExpressionPtr> parts;
};

/// first op operand op operand ..., each compared with its neighbour.
struct ComparisonChain : Expression {
  explicit ComparisonChain(Position p) : Expression(ExpressionKind::kComparison, p) {}
  ExpressionPtr first;
  std::vector<std::pair<Comparison, ExpressionPtr>> rest;
};

struct Conditional : Expression {
  explicit Conditional(Position p) : Expression(ExpressionKind::kConditional, p) {}
  ExpressionPtr test;
  ExpressionPtr then;
  ExpressionPtr otherwise;  ///< null: undefined
};

struct Attribute : Expression {
  explicit Attribute(Position p) : Expression(ExpressionKind::kAttribute, p) {}
  ExpressionPtr base;
  std::string name;
};

struct Item : Expression {
  explicit Item(Position p) : Expression(ExpressionKind::kItem, p) {}
  ExpressionPtr base;
  ExpressionPtr key;
};

struct Slice : Expression {
  explicit Slice(Position p) : Expression(ExpressionKind::kSlice, p) {}
  ExpressionPtr base;
  ExpressionPtr bounds[3];  ///< start, stop, step; null where omitted
};

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr star;         ///< *args, or null
  ExpressionPtr double_star;  ///< **kwargs, or null
};

struct Call : Expression {
  explicit Call(Position p) : Expression(ExpressionKind::kCall, p) {}
  ExpressionPtr callee;
  CallArguments arguments;
};

struct FilterCall : Expression {
  explicit FilterCall(Position p) : Expression(ExpressionKind::kFilter, p) {}
  ExpressionPtr subject;  ///< null: the text of the surrounding block
  std::string name;
  FilterFunction function = nullptr;  ///< null: unknown, an error when reached
  CallArguments arguments;
};

struct TestCall : Expression {
  explicit TestCall(Position p) : Expression(ExpressionKind::kTest, p) {}
  ExpressionPtr subject;
  std::string name;
  TestFunction function = nullptr;  ///< null: unknown, an error when reached
  CallArguments arguments;
};

/// `ns.name` as the target of an assignment.
struct NamespaceTarget : Expression {
  explicit NamespaceTarget(Position p) : Expression(ExpressionKind::kNamespaceTarget, p) {}
  Symbol symbol = 0;
  std::string name;
};

enum class StatementKind : uint8_t {
  kText,
  kPrint,
  kIf,
  kFor,
  kSet,
  kSetBlock,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kWith,
  kAutoescape,
  kBlock,
  kGeneration,
  kBreak,
  kContinue,
  kRefused,
};

struct Statement {
  Statement(StatementKind k, Position p) : kind(k), position(p) {}
  virtual ~Statement() = default;
  StatementKind kind;
  Position position;
};
using Body = std::vector<std::unique_ptr<Statement>>;

struct Text : Statement {
  explicit Text(Position p) : Statement(StatementKind::kText, p) {}
  std::string text;
};

struct Print : Statement {
  explicit Print(Position p) : Statement(StatementKind::kPrint, p) {}
  std::vector<ExpressionPtr> values;
};

struct If : Statement {
  explicit If(Position p) : Statement(StatementKind::kIf, p) {}
  std::vector<std::pair<ExpressionPtr, Body>> branches;
  Body otherwise;
};

struct For : Statement {
  explicit For(Position p) : Statement(StatementKind::kFor, p) {}
  ExpressionPtr target;
  ExpressionPtr iterable;
  ExpressionPtr condition;  ///< null: every item
  bool is_recursive = false;
  Body body;
  Body otherwise;
};

struct Set : Statement {
  explicit Set(Position p) : Statement(StatementKind::kSet, p) {}
  ExpressionPtr target;
  ExpressionPtr value;
};

struct SetBlock : Statement {
  explicit SetBlock(Position p) : Statement(StatementKind::kSetBlock, p) {}
  ExpressionPtr target;
  ExpressionPtr filter;  ///< a FilterCall chain on the block's text, or null
  Body body;
};

/// What a macro or the body of a call block takes.
struct Signature {
  struct Parameter {
    std::string name;
    Symbol symbol = 0;
    ExpressionPtr default_value;  ///< null: undefined
  };
  std::vector<Parameter> parameters;
  bool takes_caller = false;   ///< the body uses `caller`
  bool takes_varargs = false;  ///< the body uses `varargs`
  bool takes_kwargs = false;   ///< the body uses `kwargs`
};

struct Macro : Statement {
  explicit Macro(Position p) : Statement(StatementKind::kMacro, p) {}
  std::string name;
  Symbol symbol = 0;
  Signature signature;
  Body body;
};

struct CallBlock : Statement {
  explicit CallBlock(Position p) : Statement(StatementKind::kCallBlock, p) {}
  Signature signature;
  ExpressionPtr call;  ///< a Call
  Body body;
};

struct FilterBlock : Statement {
  explicit FilterBlock(Position p) : Statement(StatementKind::kFilterBlock, p) {}
  ExpressionPtr filter;
  Body body;
};

struct With : Statement {
  explicit With(Position p) : Statement(StatementKind::kWith, p) {}
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> assignments;
  Body body;
};

struct Autoescape : Statement {
  explicit Autoescape(Position p) : Statement(StatementKind::kAutoescape, p) {}
  ExpressionPtr value;
  Body body;
};

struct Block : Statement {
  explicit Block(Position p) : Statement(StatementKind::kBlock, p) {}
  std::string name;
  bool is_scoped = false;
  bool is_required = false;
  Body body;
};

/// The `generation` tag: the part of a rendering that a model would write.
struct Generation : Statement {
  explicit Generation(Position p) : Statement(StatementKind::kGeneration, p) {}
  Body body;
};

/// break and continue.
struct Jump : Statement {
  using Statement::Statement;
};

/// include, import, from and extends: they need other templates, and there are none.
struct Refused : Statement {
  explicit Refused(Position p) : Statement(StatementKind::kRefused, p) {}
  std::string tag;
};

/// A constant of the template; monostate is none.
using ConstantValue = std::variant<std::monostate, bool, BigInt, double, std::string>;

/// A whole parsed template.
struct Program {
  std::string source;   ///< as given
  std::string text;     ///< with newlines made uniform; positions point into it
  std::string subject;  ///< what errors call it
  std::vector<std::string> symbols;
  std::vector<ConstantValue> constants;
  std::map<std::string, const Block*, std::less<>> blocks;
  Body body;
};

}  // namespace nibble::jinja

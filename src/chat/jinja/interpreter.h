// Executes a syntax tree: scopes, expressions and statements.
//
// Scopes follow Jinja: blocks such as `for`, `with` and macros open one, `if` does not, and a `set`
// binds in the innermost. Functions see the variables that are around their definition.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/jinja/items.h"
#include "chat/jinja/runtime.h"
#include "chat/jinja/syntax.h"
#include "core/json.h"

namespace nibble::jinja {

/// The variables of one block in execution.
struct Scope : Clearable {
  explicit Scope(std::shared_ptr<Scope> p) : parent(std::move(p)) {}
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<Symbol, Value>> variables;

  void set(Symbol symbol, Value value);
  void clear() override { variables.clear(); }
};
using ScopePtr = std::shared_ptr<Scope>;

class Interpreter {
 public:
  /// All three are borrowed.
  Interpreter(Runtime& runtime, const Program& program, const Json& context);

  /// Renders the whole template. Once only.
  void run();

  std::string take_output() { return std::move(output_); }
  std::vector<Rendering::Span> take_spans() { return std::move(spans_); }

 private:
  friend class ForLoop;
  enum class Flow : uint8_t { kNext, kBreak, kContinue };

  /// Sends output elsewhere while it lives.
  class Redirection {
   public:
    Redirection(std::string*& out, std::string* target) : out_(out), outer_(out) { out = target; }
    ~Redirection() { out_ = outer_; }
    Redirection(const Redirection&) = delete;
    Redirection& operator=(const Redirection&) = delete;

   private:
    std::string*& out_;
    std::string* outer_;
  };

  // Expressions (expressions.cpp).
  Value evaluate(const Expression& expression, const ScopePtr& scope);
  Value evaluate_compound(const Expression& expression, const ScopePtr& scope);
  Value look_up(const Name& name, const ScopePtr& scope);
  Value display(const Display& node, const ScopePtr& scope);
  Value dict_display(const DictDisplay& node, const ScopePtr& scope);
  Value binary(const Binary& node, const ScopePtr& scope);
  Value unary(const Unary& node, const ScopePtr& scope);
  Value logic(const Logic& node, const ScopePtr& scope);
  Value concat(const Concat& node, const ScopePtr& scope);
  Value comparison(const ComparisonChain& node, const ScopePtr& scope);
  Value conditional(const Conditional& node, const ScopePtr& scope);
  Value slice_of(const Slice& node, const ScopePtr& scope);
  Value call(const Call& node, const ScopePtr& scope, const Value* caller);
  Value filter(const FilterCall& node, const ScopePtr& scope, const Value* block_text);
  Value test(const TestCall& node, const ScopePtr& scope);
  Arguments arguments_of(const CallArguments& node, const ScopePtr& scope);

  // Names outside of all scopes (interpreter.cpp).
  Value find_outer(Symbol symbol);
  Value constant_value(const ConstantValue& value);
  Value blocks_reference();

  // Statements (statements.cpp).
  Flow execute(const Body& body, const ScopePtr& scope);
  Flow execute(const Statement& statement, const ScopePtr& scope);
  void print(const Print& node, const ScopePtr& scope);
  Flow branch(const If& node, const ScopePtr& scope);
  void set(const Set& node, const ScopePtr& scope);
  Flow set_block(const SetBlock& node, const ScopePtr& scope);
  Flow filter_block(const FilterBlock& node, const ScopePtr& scope);
  Flow with(const With& node, const ScopePtr& scope);
  Flow autoescape(const Autoescape& node, const ScopePtr& scope);
  void block(const Block& node, const ScopePtr& scope);
  void generation(const Generation& node, const ScopePtr& scope);
  void assign(const Expression& target, const Value& value, const ScopePtr& scope);
  void unpack(const Display& target, const Value& value, const ScopePtr& scope);

  // Loops (for_loop.cpp).
  Flow loop(const For& node, const ScopePtr& scope);
  void run_loop(const For& node, const Value& iterable, const ScopePtr& scope, int64_t depth0,
                Flow& flow);
  Value filtered(const For& node, const Value& iterable, const ScopePtr& scope);

  // Macros (macros.cpp).
  Value make_macro(const std::string& name, const Signature& signature, const Body& body,
                   const ScopePtr& scope);
  Value call_macro(const std::string& name, const Signature& signature, const Body& body,
                   const ScopePtr& scope, const Arguments& arguments);
  std::vector<bool> bind_parameters(const std::string& name, const Signature& signature,
                                    Scope& scope, const Arguments& arguments);
  void call_block(const CallBlock& node, const ScopePtr& scope);

  // Output (interpreter.cpp).
  void emit(std::string_view text);
  void emit_result(const Value& value);
  /// Runs something with its output caught instead of printed.
  template <typename Function>
  std::string capture(Function&& function) {
    std::string caught;
    const Redirection redirection(out_, &caught);
    function();
    return caught;
  }
  ScopePtr inner(const ScopePtr& parent);

  Runtime& runtime_;
  const Program& program_;
  const Json& context_;
  std::vector<std::optional<Value>> outer_;      // by symbol, once looked up
  std::vector<std::optional<Value>> constants_;  // by index, once used
  Symbol loop_symbol_ = 0;  // of `loop`, caller, ... where the template has them
  Symbol caller_symbol_ = 0;
  Symbol varargs_symbol_ = 0;
  Symbol kwargs_symbol_ = 0;
  ScopePtr root_;
  std::string output_;
  std::string* out_ = &output_;
  size_t n_output_chars_ = 0;  // code points that output_ has so far
  std::vector<Rendering::Span> spans_;
};

}  // namespace nibble::jinja

// Executing statements other than loops and macros.
#include <fmt/format.h>

#include "chat/jinja/failure.h"
#include "chat/jinja/globals.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/text.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {

Interpreter::Flow Interpreter::execute(const Body& body, const ScopePtr& scope) {
  const Nesting nesting(runtime_);
  for (const auto& statement : body) {
    const Flow flow = execute(*statement, scope);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute(const Statement& statement, const ScopePtr& scope) {
  runtime_.step();
  runtime_.position = statement.position;
  switch (statement.kind) {
    case StatementKind::kText:
      emit(static_cast<const Text&>(statement).text);
      return Flow::kNext;
    case StatementKind::kPrint:
      print(static_cast<const Print&>(statement), scope);
      return Flow::kNext;
    case StatementKind::kIf:
      return branch(static_cast<const If&>(statement), scope);
    case StatementKind::kFor:
      return loop(static_cast<const For&>(statement), scope);
    case StatementKind::kSet:
      set(static_cast<const Set&>(statement), scope);
      return Flow::kNext;
    case StatementKind::kSetBlock:
      return set_block(static_cast<const SetBlock&>(statement), scope);
    case StatementKind::kMacro: {
      const auto& node = static_cast<const Macro&>(statement);
      scope->set(node.symbol, make_macro(node.name, node.signature, node.body, scope));
      return Flow::kNext;
    }
    case StatementKind::kCallBlock:
      call_block(static_cast<const CallBlock&>(statement), scope);
      return Flow::kNext;
    case StatementKind::kFilterBlock:
      return filter_block(static_cast<const FilterBlock&>(statement), scope);
    case StatementKind::kWith:
      return with(static_cast<const With&>(statement), scope);
    case StatementKind::kAutoescape:
      return autoescape(static_cast<const Autoescape&>(statement), scope);
    case StatementKind::kBlock:
      block(static_cast<const Block&>(statement), scope);
      return Flow::kNext;
    case StatementKind::kGeneration:
      generation(static_cast<const Generation&>(statement), scope);
      return Flow::kNext;
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
    case StatementKind::kRefused:
      fail(fmt::format("the tag '{}' needs another template, and a chat template stands alone",
                       static_cast<const Refused&>(statement).tag));
  }
  return Flow::kNext;
}

void Interpreter::print(const Print& node, const ScopePtr& scope) {
  for (const ExpressionPtr& expression : node.values) {
    const Value value = evaluate(*expression, scope);
    if (runtime_.autoescape) {
      emit(text_of(escape(runtime_, value)));
    } else if (value.is_string()) {
      emit(text_of(value));
    } else {
      emit(to_text(runtime_, value));
    }
  }
}

// What a block filter or a called macro gives goes out as it is, so it must be a text.
void Interpreter::emit_result(const Value& value) {
  if (!value.is_string()) {
    fail(fmt::format("the result of the block is a {}, a str is expected", type_name(value)));
  }
  emit(text_of(value));
}

Interpreter::Flow Interpreter::branch(const If& node, const ScopePtr& scope) {
  for (const auto& [test_node, body] : node.branches) {
    if (truth(evaluate(*test_node, scope))) return execute(body, scope);
  }
  return execute(node.otherwise, scope);
}

void Interpreter::set(const Set& node, const ScopePtr& scope) {
  const Value value = evaluate(*node.value, scope);
  runtime_.position = node.position;
  assign(*node.target, value, scope);
}

void Interpreter::assign(const Expression& target, const Value& value, const ScopePtr& scope) {
  switch (target.kind) {
    case ExpressionKind::kName:
      scope->set(static_cast<const Name&>(target).symbol, value);
      return;
    case ExpressionKind::kTuple:
      return unpack(static_cast<const Display&>(target), value, scope);
    default:
      break;
  }
  const auto& node = static_cast<const NamespaceTarget&>(target);
  Name name(node.position);
  name.symbol = node.symbol;
  const Value owner = look_up(name, scope);
  if (!owner.is(Kind::kNamespace)) fail("cannot assign attribute on non-namespace object");
  check_namespace_name(node.name);
  NamespaceObject& object = owner.as<NamespaceObject>();
  if (Value* known = object.find(node.name)) {
    *known = value;
  } else {
    object.attributes.emplace_back(node.name, value);
  }
}

void Interpreter::unpack(const Display& target, const Value& value, const ScopePtr& scope) {
  if (!is_iterable(value)) {
    fail(fmt::format("cannot unpack non-iterable {} object", type_name(value)));
  }
  std::vector<Value> items;
  ItemReader reader(value);
  Value item;
  while (items.size() < target.items.size() && reader.next(runtime_, item)) items.push_back(item);
  if (items.size() < target.items.size()) {
    fail(fmt::format("not enough values to unpack (expected {}, got {})", target.items.size(),
                     items.size()));
  }
  if (reader.next(runtime_, item)) {
    fail(fmt::format("too many values to unpack (expected {})", target.items.size()));
  }
  for (size_t i = 0; i < items.size(); ++i) assign(*target.items[i], items[i], scope);
}

Interpreter::Flow Interpreter::set_block(const SetBlock& node, const ScopePtr& scope) {
  const ScopePtr own = inner(scope);
  Flow flow = Flow::kNext;
  std::string text = capture([&] { flow = execute(node.body, own); });
  if (flow != Flow::kNext) return flow;
  Value value = runtime_.string(std::move(text), runtime_.autoescape);
  if (node.filter) {
    value = filter(static_cast<const FilterCall&>(*node.filter), own, &value);
    if (runtime_.autoescape) value = runtime_.string(to_text(runtime_, value), true);
  }
  runtime_.position = node.position;
  assign(*node.target, value, scope);
  return Flow::kNext;
}

Interpreter::Flow Interpreter::filter_block(const FilterBlock& node, const ScopePtr& scope) {
  const ScopePtr own = inner(scope);
  Flow flow = Flow::kNext;
  std::string text = capture([&] { flow = execute(node.body, own); });
  if (flow != Flow::kNext) return flow;
  const Value caught = runtime_.string(std::move(text), runtime_.autoescape);
  const Value value = filter(static_cast<const FilterCall&>(*node.filter), own, &caught);
  emit_result(value);
  return Flow::kNext;
}

Interpreter::Flow Interpreter::with(const With& node, const ScopePtr& scope) {
  const ScopePtr own = inner(scope);
  for (const auto& [target, expression] : node.assignments) {
    assign(*target, evaluate(*expression, scope), own);
  }
  return execute(node.body, own);
}

Interpreter::Flow Interpreter::autoescape(const Autoescape& node, const ScopePtr& scope) {
  const ScopePtr own = inner(scope);
  const bool wanted = truth(evaluate(*node.value, own));
  const bool outer = std::exchange(runtime_.autoescape, wanted);
  const Flow flow = execute(node.body, own);
  runtime_.autoescape = outer;
  return flow;
}

// A block sees the variables of the template, and only a scoped one those of the loops around it.
void Interpreter::block(const Block& node, const ScopePtr& scope) {
  if (node.is_required) fail(fmt::format("Required block '{}' not found", node.name));
  execute(node.body, inner(node.is_scoped ? scope : root_));
}

void Interpreter::generation(const Generation& node, const ScopePtr& scope) {
  const std::string text = capture([&] { execute(node.body, inner(scope)); });
  const size_t first = n_output_chars_;
  emit(text);
  spans_.push_back({first, first + count_code_points(text)});
}

}  // namespace nibble::jinja

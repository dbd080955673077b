// Evaluating expressions.
#include <fmt/format.h>

#include "chat/jinja/attributes.h"
#include "chat/jinja/failure.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/text.h"

namespace nibble::jinja {

Value Interpreter::evaluate(const Expression& expression, const ScopePtr& scope) {
  runtime_.step();
  runtime_.position = expression.position;
  if (expression.kind == ExpressionKind::kName) {
    return look_up(static_cast<const Name&>(expression), scope);
  }
  if (expression.kind == ExpressionKind::kConstant) {
    const uint32_t index = static_cast<const Constant&>(expression).index;
    std::optional<Value>& known = constants_[index];
    if (!known) known = constant_value(program_.constants[index]);
    return *known;
  }
  const Nesting nesting(runtime_);
  return evaluate_compound(expression, scope);
}

Value Interpreter::evaluate_compound(const Expression& expression, const ScopePtr& scope) {
  switch (expression.kind) {
    case ExpressionKind::kTuple:
    case ExpressionKind::kList:
      return display(static_cast<const Display&>(expression), scope);
    case ExpressionKind::kDict:
      return dict_display(static_cast<const DictDisplay&>(expression), scope);
    case ExpressionKind::kBinary:
      return binary(static_cast<const Binary&>(expression), scope);
    case ExpressionKind::kUnary:
      return unary(static_cast<const Unary&>(expression), scope);
    case ExpressionKind::kLogic:
      return logic(static_cast<const Logic&>(expression), scope);
    case ExpressionKind::kConcat:
      return concat(static_cast<const Concat&>(expression), scope);
    case ExpressionKind::kComparison:
      return comparison(static_cast<const ComparisonChain&>(expression), scope);
    case ExpressionKind::kConditional:
      return conditional(static_cast<const Conditional&>(expression), scope);
    case ExpressionKind::kAttribute: {
      const auto& node = static_cast<const Attribute&>(expression);
      const Value base = evaluate(*node.base, scope);
      runtime_.position = node.position;
      return get_attribute(runtime_, base, node.name);
    }
    case ExpressionKind::kItem: {
      const auto& node = static_cast<const Item&>(expression);
      const Value base = evaluate(*node.base, scope);
      const Value key = evaluate(*node.key, scope);
      runtime_.position = node.position;
      return get_item(runtime_, base, key);
    }
    case ExpressionKind::kSlice:
      return slice_of(static_cast<const Slice&>(expression), scope);
    case ExpressionKind::kCall:
      return call(static_cast<const Call&>(expression), scope, nullptr);
    case ExpressionKind::kFilter:
      return filter(static_cast<const FilterCall&>(expression), scope, nullptr);
    case ExpressionKind::kTest:
      return test(static_cast<const TestCall&>(expression), scope);
    default:
      return {};
  }
}

Value Interpreter::look_up(const Name& name, const ScopePtr& scope) {
  for (const Scope* at = scope.get(); at != nullptr; at = at->parent.get()) {
    for (const auto& [symbol, value] : at->variables) {
      if (symbol == name.symbol) return value;
    }
  }
  return find_outer(name.symbol);
}

Value Interpreter::display(const Display& node, const ScopePtr& scope) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const ExpressionPtr& item : node.items) items.push_back(evaluate(*item, scope));
  return node.kind == ExpressionKind::kList ? runtime_.list(std::move(items))
                                            : runtime_.tuple(std::move(items));
}

Value Interpreter::dict_display(const DictDisplay& node, const ScopePtr& scope) {
  auto dict = std::make_shared<DictObject>();
  for (const auto& [key_node, value_node] : node.items) {
    const Value key = evaluate(*key_node, scope);
    const Value value = evaluate(*value_node, scope);
    runtime_.position = key_node->position;
    dict->set(runtime_, key, value);
  }
  return runtime_.dict(std::move(dict));
}

Value Interpreter::binary(const Binary& node, const ScopePtr& scope) {
  const Value left = evaluate(*node.left, scope);
  const Value right = evaluate(*node.right, scope);
  runtime_.position = node.position;
  return apply(runtime_, node.op, left, right);
}

Value Interpreter::unary(const Unary& node, const ScopePtr& scope) {
  const Value operand = evaluate(*node.operand, scope);
  runtime_.position = node.position;
  switch (node.op) {
    case Unary::Operator::kNegative:
      return negate(runtime_, operand);
    case Unary::Operator::kPositive:
      return positive(operand);
    default:
      return Value::boolean(!truth(operand));
  }
}

Value Interpreter::logic(const Logic& node, const ScopePtr& scope) {
  Value left = evaluate(*node.left, scope);
  return truth(left) == node.is_and ? evaluate(*node.right, scope) : left;
}

Value Interpreter::concat(const Concat& node, const ScopePtr& scope) {
  std::vector<Value> parts;
  bool markup = false;
  for (const ExpressionPtr& part : node.parts) {
    parts.push_back(evaluate(*part, scope));
    markup = markup || is_markup(parts.back());
  }
  runtime_.position = node.position;
  // Outside of autoescaping the result is plain text, whatever went into it.
  const bool escapes = runtime_.autoescape && markup;
  std::string out;
  for (const Value& part : parts) {
    out += escapes ? text_of(escape(runtime_, part)) : to_text(runtime_, part);
    runtime_.expect_bytes(out.size());
  }
  return runtime_.string(std::move(out), escapes);
}

Value Interpreter::comparison(const ComparisonChain& node, const ScopePtr& scope) {
  Value left = evaluate(*node.first, scope);
  for (const auto& [op, operand] : node.rest) {
    Value right = evaluate(*operand, scope);
    runtime_.position = node.position;
    if (!compare(runtime_, op, left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::conditional(const Conditional& node, const ScopePtr& scope) {
  if (truth(evaluate(*node.test, scope))) return evaluate(*node.then, scope);
  if (node.otherwise) return evaluate(*node.otherwise, scope);
  return runtime_.undefined_hint(
      "the inline if-expression evaluated to false and no else section was defined.");
}

Value Interpreter::slice_of(const Slice& node, const ScopePtr& scope) {
  const Value base = evaluate(*node.base, scope);
  Value bounds[3] = {Value::none(), Value::none(), Value::none()};
  for (size_t i = 0; i < 3; ++i) {
    if (node.bounds[i]) bounds[i] = evaluate(*node.bounds[i], scope);
  }
  runtime_.position = node.position;
  return slice(runtime_, base, bounds[0], bounds[1], bounds[2]);
}

Arguments Interpreter::arguments_of(const CallArguments& node, const ScopePtr& scope) {
  Arguments out;
  for (const ExpressionPtr& argument : node.positional) {
    out.positional.push_back(evaluate(*argument, scope));
  }
  if (node.star) {
    const std::vector<Value> more = items_of(runtime_, evaluate(*node.star, scope));
    out.positional.insert(out.positional.end(), more.begin(), more.end());
  }
  for (const auto& [name, argument] : node.named) {
    out.named.emplace_back(name, evaluate(*argument, scope));
  }
  if (!node.double_star) return out;
  const Value mapping = evaluate(*node.double_star, scope);
  if (!mapping.is(Kind::kDict)) fail("argument after ** must be a mapping");
  const size_t n_written = out.named.size();
  for (const auto& [key, value] : mapping.as<DictObject>().items) {
    if (!key.is_string()) fail("keywords must be strings");
    for (size_t i = 0; i < n_written; ++i) {
      if (out.named[i].first == text_of(key)) {
        fail(fmt::format("got multiple values for keyword argument '{}'", text_of(key)));
      }
    }
    out.named.emplace_back(text_of(key), value);
  }
  return out;
}

Value Interpreter::call(const Call& node, const ScopePtr& scope, const Value* caller) {
  const Value callee = evaluate(*node.callee, scope);
  Arguments arguments = arguments_of(node.arguments, scope);
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  runtime_.position = node.position;
  return runtime_.call(callee, arguments);
}

Value Interpreter::filter(const FilterCall& node, const ScopePtr& scope, const Value* block_text) {
  // The innermost filter of a block's chain has no subject of its own.
  Value subject;
  if (node.subject == nullptr) {
    if (block_text != nullptr) subject = *block_text;
  } else if (block_text != nullptr) {
    const Nesting nesting(runtime_);
    subject = filter(static_cast<const FilterCall&>(*node.subject), scope, block_text);
  } else {
    subject = evaluate(*node.subject, scope);
  }
  const Arguments arguments = arguments_of(node.arguments, scope);
  runtime_.position = node.position;
  if (node.function == nullptr) fail(fmt::format("No filter named '{}' found.", node.name));
  return node.function(runtime_, subject, arguments);
}

Value Interpreter::test(const TestCall& node, const ScopePtr& scope) {
  const Value subject = evaluate(*node.subject, scope);
  const Arguments arguments = arguments_of(node.arguments, scope);
  runtime_.position = node.position;
  if (node.function == nullptr) fail(fmt::format("No test named '{}' found.", node.name));
  return Value::boolean(node.function(runtime_, subject, arguments));
}

}  // namespace nibble::jinja

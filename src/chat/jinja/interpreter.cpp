#include "chat/jinja/interpreter.h"

#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/failure.h"
#include "chat/jinja/globals.h"
#include "chat/jinja/text.h"
#include "chat/jinja/unicode.h"

namespace nibble::jinja {
namespace {

constexpr Symbol kNoSymbol = static_cast<Symbol>(-1);

// A name that the template never mentions needs no binding.
Symbol find_symbol(const Program& program, std::string_view name) {
  const auto found = std::find(program.symbols.begin(), program.symbols.end(), name);
  return found == program.symbols.end() ? kNoSymbol
                                        : static_cast<Symbol>(found - program.symbols.begin());
}

}  // namespace

void Scope::set(Symbol symbol, Value value) {
  for (auto& [known, current] : variables) {
    if (known == symbol) {
      current = std::move(value);
      return;
    }
  }
  variables.emplace_back(symbol, std::move(value));
}

Interpreter::Interpreter(Runtime& runtime, const Program& program, const Json& context)
    : runtime_(runtime),
      program_(program),
      context_(context),
      outer_(program.symbols.size()),
      constants_(program.constants.size()),
      loop_symbol_(find_symbol(program, "loop")),
      caller_symbol_(find_symbol(program, "caller")),
      varargs_symbol_(find_symbol(program, "varargs")),
      kwargs_symbol_(find_symbol(program, "kwargs")),
      root_(std::make_shared<Scope>(nullptr)) {
  runtime_.keep(root_);
}

void Interpreter::run() { execute(program_.body, root_); }

ScopePtr Interpreter::inner(const ScopePtr& parent) { return std::make_shared<Scope>(parent); }

Value Interpreter::constant_value(const ConstantValue& value) {
  if (const bool* b = std::get_if<bool>(&value)) return Value::boolean(*b);
  if (const BigInt* i = std::get_if<BigInt>(&value)) return runtime_.integer(*i);
  if (const double* d = std::get_if<double>(&value)) return Value::number(*d);
  if (const std::string* s = std::get_if<std::string>(&value)) return runtime_.string(*s);
  return Value::none();
}

// The variables handed to the rendering come before the functions of the language.
Value Interpreter::find_outer(Symbol symbol) {
  std::optional<Value>& known = outer_[symbol];
  if (known) return *known;
  const std::string& name = program_.symbols[symbol];
  const auto member = context_.is_object() ? context_.find(name) : context_.end();
  if (name == "self") {
    known = blocks_reference();
  } else if (context_.is_object() && member != context_.end()) {
    known = from_json(runtime_, *member);
  } else {
    known = find_global(runtime_, name);
  }
  if (!known) known = runtime_.undefined_name(name);
  return *known;
}

// `self`: its attributes render the blocks of the template.
Value Interpreter::blocks_reference() {
  auto object = std::make_shared<CallableObject>();
  object->name = "self";
  object->type_name = "TemplateReference";
  object->attribute = [this](Runtime& runtime, std::string_view name, Value& out) {
    const auto found = program_.blocks.find(name);
    if (found == program_.blocks.end()) return false;
    const Block* node = found->second;
    out = runtime.function(std::string(name), [this, node](Runtime& rt, const Arguments&) {
      std::string text = capture([&] { execute(node->body, inner(root_)); });
      return rt.string(std::move(text), rt.autoescape);
    });
    return true;
  };
  runtime_.adopt(*object, 0, 0);
  return Value::object(Kind::kInstance, std::move(object));
}

void Interpreter::emit(std::string_view text) {
  const size_t limit = runtime_.options().limits.max_output_bytes;
  if (text.size() > limit || out_->size() > limit - text.size()) {
    fail_limit(fmt::format("the rendered text is longer than {} bytes", limit));
  }
  runtime_.step_bytes(text.size());
  out_->append(text);
  if (out_ == &output_) n_output_chars_ += count_code_points(text);
}

}  // namespace nibble::jinja

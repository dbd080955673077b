// Macros and call blocks.
#include <fmt/format.h>

#include <algorithm>

#include "chat/jinja/failure.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/text.h"

namespace nibble::jinja {

Value Interpreter::make_macro(const std::string& name, const Signature& signature, const Body& body,
                              const ScopePtr& scope) {
  // The macro holds the scope that will hold the macro.
  runtime_.keep(scope);
  auto object = std::make_shared<CallableObject>();
  object->name = name;
  object->type_name = "Macro";
  object->call = [this, name = name.empty() ? "caller" : name, &signature, &body, scope](
                     Runtime&, const Arguments& arguments) {
    return call_macro(name, signature, body, scope, arguments);
  };
  object->attribute = [name, &signature](Runtime& runtime, std::string_view wanted, Value& out) {
    if (wanted == "name") {
      out = name.empty() ? Value::none() : runtime.string(name);
    } else if (wanted == "arguments") {
      std::vector<Value> names;
      names.reserve(signature.parameters.size());
      for (const auto& parameter : signature.parameters) {
        names.push_back(runtime.string(parameter.name));
      }
      out = runtime.tuple(std::move(names));
    } else if (wanted == "catch_kwargs") {
      out = Value::boolean(signature.takes_kwargs);
    } else if (wanted == "catch_varargs") {
      out = Value::boolean(signature.takes_varargs);
    } else if (wanted == "caller") {
      out = Value::boolean(signature.takes_caller);
    } else {
      return false;
    }
    return true;
  };
  return runtime_.callable(std::move(object), 0);
}

Value Interpreter::call_macro(const std::string& name, const Signature& signature, const Body& body,
                              const ScopePtr& scope, const Arguments& arguments) {
  const ScopePtr own = inner(scope);
  // Every parameter hides a variable of its name outside, given or not.
  for (const auto& parameter : signature.parameters) own->set(parameter.symbol, Value());
  const std::vector<bool> is_given = bind_parameters(name, signature, *own, arguments);
  for (size_t i = 0; i < is_given.size(); ++i) {
    if (is_given[i]) continue;
    const auto& parameter = signature.parameters[i];
    own->set(parameter.symbol, parameter.default_value
                                   ? evaluate(*parameter.default_value, own)
                                   : runtime_.undefined_hint(fmt::format(
                                         "parameter '{}' was not provided", parameter.name)));
  }
  std::string text = capture([&] { execute(body, own); });
  return runtime_.string(std::move(text), runtime_.autoescape);
}

// Binds the arguments of a call; tells which parameters got one.
std::vector<bool> Interpreter::bind_parameters(const std::string& name, const Signature& signature,
                                               Scope& scope, const Arguments& arguments) {
  const size_t n_parameters = signature.parameters.size();
  const size_t n_bound = std::min(n_parameters, arguments.positional.size());
  std::vector<bool> is_given(n_parameters, false);
  for (size_t i = 0; i < n_bound; ++i) {
    scope.set(signature.parameters[i].symbol, arguments.positional[i]);
    is_given[i] = true;
  }
  std::vector<std::pair<std::string, Value>> rest = arguments.named;
  const auto take = [&](std::string_view wanted) -> std::optional<Value> {
    const auto found = std::find_if(rest.begin(), rest.end(),
                                    [&](const auto& entry) { return entry.first == wanted; });
    if (found == rest.end()) return std::nullopt;
    Value value = std::move(found->second);
    rest.erase(found);
    return value;
  };
  bool names_caller = false;
  for (size_t i = 0; i < n_parameters; ++i) {
    const auto& parameter = signature.parameters[i];
    names_caller = names_caller || parameter.name == "caller";
    if (i < n_bound) continue;
    if (auto value = take(parameter.name)) {
      scope.set(parameter.symbol, *value);
      is_given[i] = true;
    }
  }
  if (signature.takes_caller && !names_caller) {
    const std::optional<Value> caller = take("caller");
    scope.set(caller_symbol_, caller && !caller->is_none()
                                  ? *caller
                                  : runtime_.undefined_hint("No caller defined"));
  }
  if (signature.takes_kwargs) {
    auto kwargs = std::make_shared<DictObject>();
    for (const auto& [key, value] : rest) kwargs->set(runtime_, runtime_.string(key), value);
    scope.set(kwargs_symbol_, runtime_.dict(std::move(kwargs)));
  } else if (!rest.empty()) {
    const bool is_caller = std::any_of(rest.begin(), rest.end(),
                                       [](const auto& entry) { return entry.first == "caller"; });
    if (is_caller) {
      fail(
          fmt::format("macro '{}' was invoked with two values for the special caller argument. "
                      "This is most likely a bug.",
                      name));
    }
    fail(fmt::format("macro '{}' takes no keyword argument '{}'", name, rest[0].first));
  }
  if (signature.takes_varargs) {
    scope.set(varargs_symbol_,
              runtime_.tuple({arguments.positional.begin() + static_cast<std::ptrdiff_t>(n_bound),
                              arguments.positional.end()}));
  } else if (arguments.positional.size() > n_parameters) {
    fail(fmt::format("macro '{}' takes not more than {} argument(s)", name, n_parameters));
  }
  return is_given;
}

void Interpreter::call_block(const CallBlock& node, const ScopePtr& scope) {
  const Value caller = make_macro("", node.signature, node.body, scope);
  emit_result(call(static_cast<const Call&>(*node.call), scope, &caller));
}

}  // namespace nibble::jinja

// The for block and its `loop` variable.
#include <fmt/format.h>

#include "chat/jinja/failure.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/operators.h"

namespace nibble::jinja {

// What `loop` tells. Items are read ahead only when asked for (last, nextitem, length).
class ForLoop final : public LoopObject,
                      public Clearable,
                      public std::enable_shared_from_this<ForLoop> {
 public:
  ForLoop(Interpreter& interpreter, const For& node, const Value& items, int64_t depth0)
      : interpreter_(interpreter), node_(node), items_(items), reader_(items), depth0_(depth0) {}

  /// Lets loop(...) run the body again; only needed by recursive loops.
  void set_scope(const ScopePtr& scope) { scope_ = scope; }

  bool next(Runtime& runtime, Value& item) {
    if (ahead_) {
      item = std::move(*ahead_);
      ahead_.reset();
    } else if (!reader_.next(runtime, item)) {
      return false;
    }
    ++index0;
    before_ = std::exchange(current_, item);
    return true;
  }

  bool attribute(Runtime& runtime, std::string_view name, Value& out) override {
    struct Count {
      std::string_view name;
      int64_t (*value)(ForLoop&, Runtime&);
    };
    static constexpr Count kCounts[] = {
        {"index0", [](ForLoop& loop, Runtime&) { return loop.index0; }},
        {"index", [](ForLoop& loop, Runtime&) { return loop.index0 + 1; }},
        {"length", [](ForLoop& loop, Runtime& rt) { return loop.length(rt); }},
        {"revindex", [](ForLoop& loop, Runtime& rt) { return loop.length(rt) - loop.index0; }},
        {"revindex0", [](ForLoop& loop, Runtime& rt) { return loop.length(rt) - loop.index0 - 1; }},
        {"depth", [](ForLoop& loop, Runtime&) { return loop.depth0_ + 1; }},
        {"depth0", [](ForLoop& loop, Runtime&) { return loop.depth0_; }},
    };
    for (const Count& count : kCounts) {
      if (count.name != name) continue;
      out = Value::integer(count.value(*this, runtime));
      return true;
    }
    return neighbour(runtime, name, out) || method(runtime, name, out);
  }

  int64_t length(Runtime& runtime) override {
    if (length_ >= 0) return length_;
    if (const auto known = try_length(runtime, items_)) return length_ = *known;
    // An iterator tells its length only by being read to its end.
    std::vector<Value> rest;
    for (Value item; reader_.next(runtime, item);) rest.push_back(item);
    const auto n_rest = static_cast<int64_t>(rest.size());
    reader_ = ItemReader(runtime.list(std::move(rest)));
    return length_ = n_rest + index0 + 1 + (ahead_ ? 1 : 0);
  }

  Value call(Runtime& runtime, const Value& items) override {
    if (!node_.is_recursive) {
      fail("The loop must have the 'recursive' marker to be called recursively.");
    }
    std::string text = interpreter_.capture([&] {
      Interpreter::Flow flow = Interpreter::Flow::kNext;
      interpreter_.run_loop(node_, items, scope_, depth0_ + 1, flow);
    });
    return runtime.string(std::move(text), runtime.autoescape);
  }

  void clear() override { last_changed_.reset(); }

 private:
  const std::optional<Value>& peek(Runtime& runtime) {
    Value item;
    if (!ahead_ && reader_.next(runtime, item)) ahead_ = item;
    return ahead_;
  }

  bool neighbour(Runtime& runtime, std::string_view name, Value& out) {
    if (name == "first") {
      out = Value::boolean(index0 == 0);
    } else if (name == "last") {
      out = Value::boolean(!peek(runtime).has_value());
    } else if (name == "previtem") {
      out = index0 == 0 ? runtime.undefined_hint("there is no previous item") : before_;
    } else if (name == "nextitem") {
      const std::optional<Value>& next_item = peek(runtime);
      out = next_item ? *next_item : runtime.undefined_hint("there is no next item");
    } else {
      return false;
    }
    return true;
  }

  bool method(Runtime& runtime, std::string_view name, Value& out) {
    const auto self = shared_from_this();
    if (name == "cycle") {
      const auto cycle = [self](Runtime&, const Arguments& arguments) {
        if (arguments.positional.empty()) fail("no items for cycling given");
        return arguments
            .positional[static_cast<size_t>(self->index0) % arguments.positional.size()];
      };
      out = runtime.function("cycle", cycle, depth + 1);
    } else if (name == "changed") {
      out = runtime.function(
          "changed",
          [self](Runtime& rt, const Arguments& arguments) { return self->changed(rt, arguments); },
          depth + 1);
    } else {
      return false;
    }
    return true;
  }

  Value changed(Runtime& runtime, const Arguments& arguments) {
    const Value now = runtime.tuple(arguments.positional);
    if (last_changed_ && equals(runtime, *last_changed_, now)) return Value::boolean(false);
    // The value may hold this loop itself.
    if (!last_changed_) runtime.keep(shared_from_this());
    last_changed_ = now;
    return Value::boolean(true);
  }

  Interpreter& interpreter_;
  const For& node_;
  Value items_;
  ItemReader reader_;
  int64_t depth0_;
  ScopePtr scope_;
  std::optional<Value> ahead_;
  Value current_;
  Value before_;
  std::optional<Value> last_changed_;
  int64_t length_ = -1;
};

Interpreter::Flow Interpreter::loop(const For& node, const ScopePtr& scope) {
  const Value iterable = evaluate(*node.iterable, scope);
  runtime_.position = node.position;
  Flow flow = Flow::kNext;
  run_loop(node, iterable, scope, 0, flow);
  return flow;
}

// The items that satisfy the loop's `if`, tested one by one as the loop reads them.
Value Interpreter::filtered(const For& node, const Value& iterable, const ScopePtr& scope) {
  if (!node.condition) return iterable;
  return runtime_.stream(
      "generator", iterable.depth(),
      [this, &node, scope, reader = ItemReader(iterable)](Runtime& rt, Value& item) mutable {
        while (reader.next(rt, item)) {
          const ScopePtr own = inner(scope);
          assign(*node.target, item, own);
          if (truth(evaluate(*node.condition, own))) return true;
        }
        return false;
      });
}

void Interpreter::run_loop(const For& node, const Value& iterable, const ScopePtr& scope,
                           int64_t depth0, Flow& flow) {
  const Value items = filtered(node, iterable, scope);
  const auto loop = std::make_shared<ForLoop>(*this, node, items, depth0);
  runtime_.adopt(*loop, sizeof(ForLoop), items.depth() + 1);
  if (node.is_recursive) {
    loop->set_scope(scope);
    runtime_.keep(scope);
  }
  const Value loop_value = Value::object(Kind::kLoop, loop);
  bool completed_one = false;
  for (Value item; loop->next(runtime_, item);) {
    const ScopePtr own = inner(scope);
    assign(*node.target, item, own);
    own->set(loop_symbol_, loop_value);
    const Flow result = execute(node.body, own);
    if (result == Flow::kBreak) break;
    // As in Jinja, a pass that was left by `continue` or `break` does not keep the else from
    // running.
    completed_one = completed_one || result == Flow::kNext;
  }
  if (!completed_one && !node.otherwise.empty()) flow = execute(node.otherwise, inner(scope));
}

}  // namespace nibble::jinja

// One rendering in progress: its limits, the making of values, and the calling of functions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/jinja/failure.h"
#include "chat/jinja/value.h"
#include "chat/template.h"
#include "core/clock.h"

namespace nibble::jinja {

class Runtime {
 public:
  /// How many containers may be nested in each other.
  static constexpr uint32_t kMaxValueDepth = 150;

  explicit Runtime(const RenderOptions& options);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// Counts work and stops the rendering when too much was done or too much time has passed.
  void step(uint64_t n_steps = 1);
  /// Counts the work of passing over so many bytes or so much memory.
  void step_bytes(size_t n_bytes) { step(1 + n_bytes / 128); }
  /// Stops the rendering if a value of this size would not fit into memory.
  void expect_bytes(size_t n_bytes);
  /// n items of the given size each, without overflow.
  void expect_items(uint64_t n_items, uint64_t item_bytes);

  Value string(std::string text, bool is_markup = false);
  Value bytes(std::string bytes);
  Value integer(const BigInt& value);
  Value list(std::vector<Value> items);
  Value tuple(std::vector<Value> items);
  Value group(Value grouper, Value items);
  Value dict(std::shared_ptr<DictObject> dict);
  Value view(DictViewObject::Part part, const Value& dict);
  Value range(int64_t start, int64_t stop, int64_t step);
  Value stream(std::string type_name, uint32_t depth, std::function<bool(Runtime&, Value&)> next);
  Value new_namespace(std::shared_ptr<NamespaceObject> object);
  Value function(std::string name, std::function<Value(Runtime&, const Arguments&)> call,
                 uint32_t depth = 0);
  Value callable(std::shared_ptr<CallableObject> object, uint32_t depth);

  Value undefined_name(std::string_view name);
  Value undefined_hint(std::string_view hint);
  Value undefined_attribute(const Value& owner, std::string_view name, bool is_unsafe = false);
  Value undefined_element(const Value& owner, const Value& key);

  /// Calls a function, method, macro or recursive loop.
  Value call(const Value& callee, const Arguments& arguments);

  /// Keeps an object until the end, then clears it.
  void keep(const std::shared_ptr<Clearable>& object);

  /// Charges a new object to this rendering and bounds its nesting.
  void adopt(Object& object, size_t n_bytes, uint32_t depth);

  const RenderOptions& options() const { return options_; }

  Position position = 0;    ///< what is being evaluated, for messages
  bool autoescape = false;  ///< inside `autoescape true`
  uint32_t depth = 0;       ///< nested evaluations, see Nesting

 private:
  const RenderOptions& options_;
  MemoryAccount account_;
  uint64_t n_steps_ = 0;
  uint64_t next_clock_check_ = 0;
  Stopwatch stopwatch_;
  std::vector<std::shared_ptr<Clearable>> kept_;
};

/// Counts one level of nested evaluation while it lives.
class Nesting {
 public:
  explicit Nesting(Runtime& runtime) : runtime_(runtime) {
    if (++runtime.depth > runtime.options().limits.max_depth) {
      --runtime.depth;
      fail_limit("evaluation is nested too deeply (is a macro calling itself without end?)");
    }
  }
  ~Nesting() { --runtime_.depth; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  Runtime& runtime_;
};

}  // namespace nibble::jinja

// The values of the template language: Python's built-in types, and the few objects Jinja adds.
//
// Everything but namespaces, loops and the small call-backs (cycler, joiner) is immutable. Values
// are shared by reference counting; the Runtime accounts for their memory and bounds how deeply
// they nest, so that no walk over a value can exhaust the stack.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/jinja/big_int.h"

namespace nibble::jinja {

class Runtime;

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kBigInt,
  kFloat,
  kString,
  kBytes,
  kList,
  kTuple,
  kDict,
  kDictView,
  kRange,
  kStream,
  kNamespace,
  kLoop,
  kCallable,
  kInstance,
};

/// Counts the bytes of live values of one rendering. Outlives all of them.
class MemoryAccount {
 public:
  explicit MemoryAccount(size_t limit_bytes) : limit_bytes_(limit_bytes) {}
  /// Stops the rendering if so many more bytes would not fit.
  void expect(size_t n_bytes) const;
  void add(size_t n_bytes);
  void remove(size_t n_bytes) { used_bytes_ -= n_bytes; }

 private:
  size_t limit_bytes_;
  size_t used_bytes_ = 0;
};

/// The part of a value that lives on the heap.
struct Object {
  Object() = default;
  virtual ~Object() {
    if (account != nullptr) account->remove(n_bytes);
  }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  MemoryAccount* account = nullptr;
  size_t n_bytes = 0;
  uint32_t depth = 0;  ///< levels of containers below this one
};

/// One value: a scalar, or a shared reference to an Object. Cheap to copy.
class Value {
 public:
  Value() = default;  ///< an undefined value without a name
  static Value none() { return Value(Kind::kNone); }
  static Value boolean(bool b);
  static Value integer(int64_t i);
  static Value number(double d);
  static Value object(Kind kind, std::shared_ptr<Object> object);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_string() const { return kind_ == Kind::kString; }
  /// bool, int or float, and the first two alone.
  bool is_number() const { return is_integral() || kind_ == Kind::kFloat; }
  bool is_integral() const {
    return kind_ == Kind::kBool || kind_ == Kind::kInt || kind_ == Kind::kBigInt;
  }

  bool as_bool() const { return scalar_.b; }
  int64_t as_int() const { return kind_ == Kind::kBool ? (scalar_.b ? 1 : 0) : scalar_.i; }
  double as_float() const { return scalar_.d; }

  /// The object behind the value; T must be the type that belongs to its kind.
  template <typename T>
  T& as() const {
    return static_cast<T&>(*object_);
  }
  const std::shared_ptr<Object>& shared() const { return object_; }
  uint32_t depth() const { return object_ ? object_->depth : 0; }

  /// Python's `is`.
  bool same_as(const Value& other) const;

 private:
  explicit Value(Kind kind) : kind_(kind) {}

  Kind kind_ = Kind::kUndefined;
  union {
    bool b;
    int64_t i;
    double d;
  } scalar_ = {};
  std::shared_ptr<Object> object_;
};

/// Why a value is undefined, for the message when it is used.
struct UndefinedObject : Object {
  std::string owner_type;   ///< type of the value without the attribute; empty for a plain name
  std::string name;         ///< the name that was looked up
  bool is_element = false;  ///< name is a number or the like, not an attribute
  bool is_unsafe = false;   ///< the attribute exists, but the sandbox hides it
  std::string hint;         ///< a full sentence instead of the above
  std::string message() const;
};

struct BigIntObject : Object {
  BigInt value;
};

struct StringObject : Object {
  std::string text;        ///< valid UTF-8
  size_t n_chars = 0;      ///< code points
  bool is_markup = false;  ///< already escaped for HTML
  bool is_ascii() const { return n_chars == text.size(); }
};

struct BytesObject : Object {
  std::string bytes;
};

/// Lists and tuples. The pairs of groupby are tuples with names for their two items.
struct SequenceObject : Object {
  std::vector<Value> items;
  bool is_group = false;
};

/// Insertion-ordered, with hash look-up once it is large enough to pay.
struct DictObject : Object {
  std::vector<std::pair<Value, Value>> items;
  std::vector<uint32_t> slots;  ///< open addressing by hash, index + 1; empty while small

  const Value* find(Runtime& runtime, const Value& key) const;
  /// Finds a string key without making a value of it.
  const Value* find(std::string_view key) const;
  /// Inserts or replaces.
  void set(Runtime& runtime, const Value& key, Value value);

 private:
  size_t find_index(Runtime& runtime, const Value& key, size_t hash) const;
  void rebuild(Runtime& runtime);
};

struct DictViewObject : Object {
  enum class Part : uint8_t { kKeys, kValues, kItems };
  Part part;
  Value dict;
};

struct RangeObject : Object {
  int64_t start = 0;
  int64_t stop = 0;
  int64_t step = 1;
  int64_t n_items() const;
};

/// An iterator: gives its items once.
struct StreamObject : Object {
  std::string type_name;
  std::function<bool(Runtime&, Value&)> next;  ///< false at the end
};

/// Something that can be part of a cycle of references, which the Runtime breaks at its end.
struct Clearable {
  virtual ~Clearable() = default;
  virtual void clear() = 0;
  bool is_kept = false;
};

/// Attributes that `set ns.x = ...` changes. The Runtime keeps each until the rendering ends.
struct NamespaceObject : Object, Clearable {
  std::vector<std::pair<std::string, Value>> attributes;
  Value* find(std::string_view name);
  void clear() override { attributes.clear(); }
};

/// The `loop` of a for block. What it tells is decided where loops are executed.
struct LoopObject : Object {
  virtual bool attribute(Runtime& runtime, std::string_view name, Value& out) = 0;
  virtual int64_t length(Runtime& runtime) = 0;
  /// loop(items): renders the body for other items; only in recursive loops.
  virtual Value call(Runtime& runtime, const Value& items) = 0;
  int64_t index0 = -1;
};

/// What a call passes.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// Functions, methods bound to their value, macros; and, as Kind::kInstance, objects that have
/// attributes but cannot be called.
struct CallableObject : Object {
  std::string name;
  std::string type_name = "function";
  std::function<Value(Runtime&, const Arguments&)> call;
  /// Attributes besides calling (macro.name, cycler.next); may be empty.
  std::function<bool(Runtime&, std::string_view, Value&)> attribute;
};

/// The name of the Python type, for messages ("str", "NoneType", ...).
std::string_view type_name(const Value& value);

/// bool(value).
bool truth(const Value& value);

/// The text of a string value.
inline const std::string& text_of(const Value& value) { return value.as<StringObject>().text; }

/// Whether the value is a string that is marked as safe HTML.
inline bool is_markup(const Value& value) {
  return value.is_string() && value.as<StringObject>().is_markup;
}

}  // namespace nibble::jinja

#include "chat/message.h"

#include <string>
#include <utility>
#include <vector>

namespace nibble {
namespace {

// Builds an ordered tree; the text of a number decides whether it was an integer.
class TreeBuilder final : public JsonEvents {
 public:
  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    const bool is_integer = text.find_first_of(".eE") == std::string::npos;
    return is_integer ? put(Json::binary({text.begin(), text.end()})) : put(value);
  }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return open(Json::object()); }
  bool key(string_t& name) override {
    keys_.back() = std::move(name);
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }

  Json take() { return std::move(root_); }

 private:
  template <typename T>
  bool put(T&& value) {
    add(Json(std::forward<T>(value)));
    return true;
  }

  void add(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().is_array()) {
      open_.back().push_back(std::move(value));
    } else {
      open_.back()[keys_.back()] = std::move(value);
    }
  }

  bool open(Json container) {
    open_.push_back(std::move(container));
    keys_.emplace_back();
    return true;
  }

  bool close() {
    Json done = std::move(open_.back());
    open_.pop_back();
    keys_.pop_back();
    add(std::move(done));
    return true;
  }

  std::vector<Json> open_;
  std::vector<std::string> keys_;  // the member being read, for each open container
  Json root_;
};

}  // namespace

Result<Json> parse_message_json(std::string_view text, std::string_view subject) {
  TreeBuilder builder;
  RETURN_IF_ERROR(walk_json(text, subject, builder));
  return builder.take();
}

}  // namespace nibble

#include "core/json.h"

#include <fmt/format.h>

#include <set>
#include <vector>

#include "core/file.h"

namespace nibble {
namespace {

// The library recurses when a tree is destroyed or printed, so depth is bounded before it sees the
// text.
Status check_depth(std::string_view text, std::string_view subject, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > max_depth) {
        return Error(ErrorCode::kLimit,
                     fmt::format("JSON is nested deeper than {} levels", max_depth),
                     std::string(subject));
      }
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return {};
}

// Counts lines and columns up to a byte position, for messages people can act on.
std::string place_of(std::string_view text, size_t byte) {
  size_t line = 1;
  size_t column = 1;
  for (size_t i = 0; i < byte && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return fmt::format("line {}, column {}", line, column);
}

// What the library says, without its name for the kind of error and the place, which is told in our
// own words.
std::string_view reason_of(std::string_view text) {
  const size_t place = text.find("parse error");
  const size_t colon = place == std::string_view::npos ? place : text.find(": ", place);
  return colon == std::string_view::npos ? text : text.substr(colon + 2);
}

Status check_text(std::string_view text, std::string_view subject, const JsonLimits& limits) {
  RETURN_IF_ERROR(check_depth(text, subject, limits.max_depth));
  if (text.starts_with("\xEF\xBB\xBF")) {
    return Error(ErrorCode::kCorrupt, "JSON starts with a byte order mark; save it without one",
                 std::string(subject));
  }
  // The library takes a NUL for the end of the text and would ignore all that follows it.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return Error(ErrorCode::kCorrupt,
                 fmt::format("not valid JSON at {}: a NUL byte", place_of(text, nul)),
                 std::string(subject));
  }
  return {};
}

template <typename Tree>
Result<Tree> parse_tree(std::string_view text, std::string_view subject, const JsonLimits& limits) {
  RETURN_IF_ERROR(check_text(text, subject, limits));
  std::string duplicate;
  std::vector<std::set<std::string>> keys;
  typename Tree::parser_callback_t watch = nullptr;
  if (limits.reject_duplicate_keys) {
    watch = [&](int, typename Tree::parse_event_t event, Tree& parsed) {
      using Event = typename Tree::parse_event_t;
      if (event == Event::object_start) keys.emplace_back();
      if (event == Event::object_end) keys.pop_back();
      if (event == Event::key && !keys.back().insert(parsed.template get<std::string>()).second &&
          duplicate.empty()) {
        duplicate = parsed.template get<std::string>();
      }
      return true;
    };
  }
  try {
    Tree tree = Tree::parse(text.begin(), text.end(), watch);
    if (!duplicate.empty()) {
      return Error(ErrorCode::kCorrupt, fmt::format("JSON has the key \"{}\" twice", duplicate),
                   std::string(subject));
    }
    return tree;
  } catch (const nlohmann::json::parse_error& e) {
    return Error(ErrorCode::kCorrupt,
                 fmt::format("not valid JSON at {}: {}",
                             place_of(text, e.byte == 0 ? 0 : e.byte - 1), reason_of(e.what())),
                 std::string(subject));
  } catch (const nlohmann::json::exception& e) {
    return Error(ErrorCode::kCorrupt, fmt::format("not valid JSON: {}", e.what()),
                 std::string(subject));
  }
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view subject, const JsonLimits& limits) {
  return parse_tree<Json>(text, subject, limits);
}

Result<SortedJson> parse_sorted_json(std::string_view text, std::string_view subject,
                                     const JsonLimits& limits) {
  return parse_tree<SortedJson>(text, subject, limits);
}

bool JsonEvents::parse_error(size_t position, const std::string&,
                             const nlohmann::json::exception& exception) {
  error_position_ = position;
  error_text_ = std::string(exception.what()).substr(0, 300);  // it quotes the last token
  return false;
}

Status walk_json(std::string_view text, std::string_view subject, JsonEvents& events,
                 const JsonLimits& limits) {
  RETURN_IF_ERROR(check_text(text, subject, limits));
  events.error_text_.clear();
  SortedJson::sax_parse(text.begin(), text.end(), &events);
  if (events.error_text_.empty()) return {};
  const size_t position = events.error_position_ == 0 ? 0 : events.error_position_ - 1;
  return Error(ErrorCode::kCorrupt,
               fmt::format("not valid JSON at {}: {}", place_of(text, position),
                           reason_of(events.error_text_)),
               std::string(subject));
}

Result<Json> read_json_file(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, read_file(path));
  return parse_json(text, path);
}

std::string dump_json(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string dump_json_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace nibble

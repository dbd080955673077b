#include "doctor/matching/name_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <memory>

namespace nibble {
namespace {

constexpr uint32_t kMatchLimit = 100'000;

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

// The end of a set that begins at `open`, or npos where it is not closed.
size_t set_end(std::string_view glob, size_t open) {
  size_t at = open + 1;
  if (at < glob.size() && glob[at] == '!') ++at;
  if (at < glob.size() && glob[at] == ']') ++at;
  return glob.find(']', at);
}

bool in_set(std::string_view set, char c) {
  const bool negated = !set.empty() && set.front() == '!';
  if (negated) set.remove_prefix(1);
  bool found = false;
  for (size_t i = 0; i < set.size(); ++i) {
    if (i + 2 < set.size() && set[i + 1] == '-') {
      found = found || (set[i] <= c && c <= set[i + 2]);
      i += 2;
    } else {
      found = found || set[i] == c;
    }
  }
  return found != negated;
}

// Matches one character of the name; sets `next` to where the glob goes on.
bool matches_one(std::string_view glob, size_t at, char c, size_t& next) {
  next = at + 1;
  if (glob[at] == '?') return true;
  if (glob[at] == '[') {
    const size_t end = set_end(glob, at);
    if (end != std::string_view::npos) {
      next = end + 1;
      return in_set(glob.substr(at + 1, end - at - 1), c);
    }
  }
  return glob[at] == c;
}

}  // namespace

bool matches_from_start(const std::string& expression, std::string_view name) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::unique_ptr<pcre2_code, FreeCode> code(
      pcre2_compile(units(expression), expression.size(), PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C,
                    &error, &offset, nullptr));
  if (!code) return false;
  const std::unique_ptr<pcre2_match_data, FreeData> data(
      pcre2_match_data_create_from_pattern(code.get(), nullptr));
  const std::unique_ptr<pcre2_match_context, FreeContext> context(
      pcre2_match_context_create(nullptr));
  if (!data || !context) return false;
  pcre2_set_match_limit(context.get(), kMatchLimit);
  return pcre2_match(code.get(), units(name), name.size(), 0, 0, data.get(), context.get()) >= 0;
}

bool matches_glob(std::string_view glob, std::string_view name) {
  size_t g = 0;
  size_t n = 0;
  size_t star = std::string_view::npos;
  size_t star_name = 0;
  while (n < name.size()) {
    size_t next = 0;
    if (g < glob.size() && glob[g] == '*') {
      star = ++g;
      star_name = n;
    } else if (g < glob.size() && matches_one(glob, g, name[n], next)) {
      g = next;
      ++n;
    } else if (star != std::string_view::npos) {
      g = star;
      n = ++star_name;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

}  // namespace nibble

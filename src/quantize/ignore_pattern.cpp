#define PCRE2_CODE_UNIT_WIDTH 8
#include "quantize/ignore_pattern.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <set>

namespace nibble {
namespace {

constexpr std::string_view kRegexPrefix = "re:";
constexpr std::string_view kWeightSuffix = ".weight";
constexpr uint32_t kMatchLimit = 1'000'000;
constexpr size_t kMaxListed = 40;

std::string_view without_weight(std::string_view name) {
  if (name.ends_with(kWeightSuffix)) name.remove_suffix(kWeightSuffix.size());
  return name;
}

Error bad_pattern(const std::string& pattern, std::string_view problem) {
  return Error(ErrorCode::kInvalidArgument,
               fmt::format("the ignore pattern \"{}\" {}", pattern, problem));
}

// A compiled expression, matched from the start of a text.
class Regex {
 public:
  static Result<Regex> compile(const std::string& pattern, std::string_view expression) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()),
                                     expression.size(), PCRE2_ANCHORED, &error, &offset, nullptr);
    if (code == nullptr) {
      return bad_pattern(pattern, fmt::format("is not a valid expression: {} at character {}",
                                              error_text(error), offset + 1));
    }
    return Regex(code);
  }

  // Whether it matches; an error where matching takes too long.
  Result<bool> matches(const std::string& pattern, std::string_view text) const {
    const int rc = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                               0, 0, match_.get(), context_.get());
    if (rc >= 0) return true;
    if (rc == PCRE2_ERROR_NOMATCH) return false;
    return bad_pattern(pattern, fmt::format("cannot be matched: {}", error_text(rc)));
  }

 private:
  explicit Regex(pcre2_code* code)
      : code_(code, pcre2_code_free),
        match_(pcre2_match_data_create_from_pattern(code, nullptr), pcre2_match_data_free),
        context_(pcre2_match_context_create(nullptr), pcre2_match_context_free) {
    pcre2_set_match_limit(context_.get(), kMatchLimit);
  }

  static std::string error_text(int error) {
    unsigned char text[256] = {};
    pcre2_get_error_message(error, text, sizeof(text));
    return std::string(reinterpret_cast<const char*>(text));
  }

  std::unique_ptr<pcre2_code, void (*)(pcre2_code*)> code_;
  std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> match_;
  std::unique_ptr<pcre2_match_context, void (*)(pcre2_match_context*)> context_;
};

// Whether `part` stands in `name` between dots or ends.
bool has_dotted_part(std::string_view name, std::string_view part) {
  for (size_t at = name.find(part); at != std::string_view::npos; at = name.find(part, at + 1)) {
    const size_t end = at + part.size();
    if ((at == 0 || name[at - 1] == '.') && (end == name.size() || name[end] == '.')) return true;
  }
  return false;
}

using Reading = std::function<bool(const TensorNames&)>;

// The flags of the first reading that finds anything; empty where none does.
std::vector<bool> first_match(std::span<const Reading> readings,
                              std::span<const TensorNames> tensors) {
  for (const Reading& reading : readings) {
    std::vector<bool> flags(tensors.size());
    std::transform(tensors.begin(), tensors.end(), flags.begin(), reading);
    if (std::find(flags.begin(), flags.end(), true) != flags.end()) return flags;
  }
  return {};
}

// What there is, layers folded together: "layers.*.mlp.gate_proj".
std::string existing_modules(std::span<const TensorNames> tensors) {
  std::set<std::string> modules;
  for (const TensorNames& names : tensors) {
    std::string folded;
    for (size_t i = 0; i < names.canonical.size();) {
      size_t end = names.canonical.find('.', i);
      if (end == std::string_view::npos) end = names.canonical.size();
      const std::string_view part = names.canonical.substr(i, end - i);
      const bool is_number = part.find_first_not_of("0123456789") == std::string_view::npos;
      if (!folded.empty()) folded += '.';
      folded += is_number ? std::string_view("*") : part;
      i = end + 1;
    }
    modules.emplace(without_weight(folded));
  }
  const size_t n_modules = modules.size();
  std::vector<std::string> listed(modules.begin(), modules.end());
  if (n_modules > kMaxListed) listed.resize(kMaxListed);
  std::string text = fmt::format("{}", fmt::join(listed, ", "));
  if (n_modules > kMaxListed) text += fmt::format(" and {} more", n_modules - kMaxListed);
  return text;
}

Error matches_nothing(const std::string& pattern, std::span<const TensorNames> tensors) {
  return bad_pattern(pattern,
                     fmt::format("matches nothing. Names have the form {}; there are: {}",
                                 tensors.empty() ? "..." : tensors[tensors.size() / 2].stored,
                                 existing_modules(tensors)));
}

Result<std::vector<bool>> match_regex(const std::string& pattern,
                                      std::span<const TensorNames> tensors) {
  ASSIGN_OR_RETURN(const Regex regex,
                   Regex::compile(pattern, std::string_view(pattern).substr(kRegexPrefix.size())));
  for (const bool with_weight : {false, true}) {
    std::vector<bool> flags(tensors.size());
    bool found = false;
    for (size_t i = 0; i < tensors.size(); ++i) {
      for (std::string_view name : {tensors[i].stored, tensors[i].canonical}) {
        if (!with_weight) name = without_weight(name);
        ASSIGN_OR_RETURN(const bool matched, regex.matches(pattern, name));
        if (matched) flags[i] = true;
      }
      found = found || flags[i];
    }
    if (found) return flags;
  }
  return matches_nothing(pattern, tensors);
}

}  // namespace

Result<std::vector<bool>> match_pattern(const std::string& pattern,
                                        std::span<const TensorNames> tensors) {
  if (pattern.starts_with(kRegexPrefix)) return match_regex(pattern, tensors);
  if (pattern.empty()) return bad_pattern(pattern, "is empty");
  const Reading whole_name = [&](const TensorNames& names) {
    return names.stored == pattern || names.canonical == pattern ||
           without_weight(names.stored) == pattern || without_weight(names.canonical) == pattern;
  };
  const Reading dotted_part = [&](const TensorNames& names) {
    return has_dotted_part(names.stored, pattern);
  };
  const Reading any_part = [&](const TensorNames& names) {
    return names.stored.find(pattern) != std::string_view::npos;
  };
  const Reading readings[] = {whole_name, dotted_part, any_part};
  std::vector<bool> flags = first_match(readings, tensors);
  if (flags.empty()) return matches_nothing(pattern, tensors);
  return flags;
}

}  // namespace nibble

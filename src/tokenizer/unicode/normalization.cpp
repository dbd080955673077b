#include "tokenizer/unicode/normalization.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/check.h"
#include "tokenizer/regex/code_point_set.h"
#include "tokenizer/unicode/utf8.h"

namespace nibble {
namespace {

constexpr CodePointRange kUnassignedIn9[] = {
#include "tokenizer/unicode/unassigned_in_9_table.inc"
};

// The first code point that NFC can change or combine with what stands before it.
constexpr char32_t kFirstActive = 0x300;
// The lead byte of U+0300 in UTF-8.
constexpr uint8_t kFirstActiveLead = 0xCC;

enum Kind : uint8_t {
  kStable,    // begins a stretch: NFC neither changes it alone nor joins it to its left neighbour
  kActive,    // may change, move or combine with what precedes it
  kNewcomer,  // not in Unicode 9.0: stands alone
};

utf8proc_option_t options_of(NormalForm form) {
  const bool is_compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  const bool composes = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE |
                                        (is_compatible ? UTF8PROC_COMPAT : 0) |
                                        (composes ? UTF8PROC_COMPOSE : 0));
}

// The longest decomposition of any code point has 18 parts.
constexpr int kMaxParts = 32;

int decompose(char32_t c, utf8proc_option_t options, utf8proc_int32_t* parts) {
  int boundary = 0;
  const auto n = utf8proc_decompose_char(
      static_cast<utf8proc_int32_t>(c), parts, kMaxParts,
      static_cast<utf8proc_option_t>(options & ~UTF8PROC_COMPOSE), &boundary);
  CHECK(n >= 0 && n <= kMaxParts);
  return static_cast<int>(n);
}

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

// Puts every run of combining marks into canonical order. utf8proc does it by exchanging
// neighbours, quadratic in the length of a run.
void sort_marks(std::vector<utf8proc_int32_t>& code_points) {
  const auto is_starter = [](utf8proc_int32_t c) { return combining_class(c) == 0; };
  auto begin = code_points.begin();
  while (begin != code_points.end()) {
    begin = std::find_if_not(begin, code_points.end(), is_starter);
    const auto end = std::find_if(begin, code_points.end(), is_starter);
    if (end - begin > 1) {
      std::stable_sort(begin, end, [](utf8proc_int32_t a, utf8proc_int32_t b) {
        return combining_class(a) < combining_class(b);
      });
    }
    begin = end;
  }
}

// Appends the normal form of text without newcomers.
void append_normalized(NormalForm form, std::string_view text, std::string& out) {
  const utf8proc_option_t options = options_of(form);
  std::vector<utf8proc_int32_t> code_points;
  for (const char* at = text.data(); at != text.data() + text.size();) {
    utf8proc_int32_t parts[kMaxParts];
    const int n = decompose(next_code_point(at), options, parts);
    code_points.insert(code_points.end(), parts, parts + n);
  }
  sort_marks(code_points);
  auto length = static_cast<utf8proc_ssize_t>(code_points.size());
  if ((options & UTF8PROC_COMPOSE) != 0) {
    length = utf8proc_normalize_utf32(code_points.data(), length, options);
    CHECK(length >= 0);
  }
  for (utf8proc_ssize_t i = 0; i < length; ++i) {
    append_utf8(out, static_cast<char32_t>(code_points[static_cast<size_t>(i)]));
  }
}

// Kinds for NFC, for the two planes in which it does anything, and their newcomers.
constexpr char32_t kKindsEnd = 0x30000;

std::vector<uint8_t> compute_kinds() {
  std::vector<uint8_t> kinds(kKindsEnd, kStable);
  for (const CodePointRange& range : kUnassignedIn9) {
    for (char32_t c = range.first; c <= range.last && c < kKindsEnd; ++c) kinds[c] = kNewcomer;
  }
  const utf8proc_option_t options = options_of(NormalForm::kNfc);
  for (char32_t c = kFirstActive; c < kKindsEnd; ++c) {
    if (kinds[c] == kNewcomer || (c >= 0xD800 && c < 0xE000)) continue;
    utf8proc_int32_t parts[kMaxParts];
    const int n = decompose(c, options, parts);
    for (int i = 1; i < n; ++i) kinds[static_cast<size_t>(parts[i])] = kActive;
    const bool is_decomposed = n != 1 || static_cast<char32_t>(parts[0]) != c;
    const bool is_restored = is_decomposed && utf8proc_normalize_utf32(parts, n, options) == 1 &&
                             static_cast<char32_t>(parts[0]) == c;
    if (combining_class(static_cast<utf8proc_int32_t>(c)) != 0 || (is_decomposed && !is_restored)) {
      kinds[c] = kActive;
    }
  }
  return kinds;
}

Kind kind_of(char32_t c) {
  static const std::vector<uint8_t> kinds = compute_kinds();
  return c < kKindsEnd ? static_cast<Kind>(kinds[c]) : kStable;
}

// True if some byte could begin a code point from U+0300 on.
bool may_be_active(std::string_view text) {
  const auto is_high = [](char c) { return static_cast<uint8_t>(c) >= kFirstActiveLead; };
  return std::any_of(text.begin(), text.end(), is_high);
}

std::string_view normalize_nfc(std::string_view text, std::string& buffer) {
  if (!may_be_active(text)) return text;
  const char* const end = text.data() + text.size();
  const char* copied = text.data();   // everything before it stands in the buffer
  const char* stretch = text.data();  // where the current stretch began
  buffer.clear();
  for (const char* at = text.data(); at != end;) {
    const char* const here = at;
    const Kind kind = kind_of(next_code_point(at));
    if (kind != kActive) {
      stretch = kind == kNewcomer ? at : here;
      continue;
    }
    while (at != end) {
      const char* following = at;
      if (kind_of(next_code_point(following)) != kActive) break;
      at = following;
    }
    buffer.append(copied, stretch);
    append_normalized(NormalForm::kNfc, {stretch, static_cast<size_t>(at - stretch)}, buffer);
    copied = stretch = at;
  }
  if (copied == text.data()) return text;
  buffer.append(copied, end);
  return buffer;
}

bool is_newcomer(char32_t c) {
  const auto after = std::upper_bound(
      std::begin(kUnassignedIn9), std::end(kUnassignedIn9), c,
      [](char32_t value, const CodePointRange& range) { return value < range.first; });
  return after != std::begin(kUnassignedIn9) && std::prev(after)->last >= c;
}

}  // namespace

std::string_view normalize(NormalForm form, std::string_view text, std::string& buffer) {
  if (form == NormalForm::kNfc) return normalize_nfc(text, buffer);
  buffer.clear();
  const char* const end = text.data() + text.size();
  const char* stretch = text.data();
  for (const char* at = text.data(); at != end;) {
    const char* const here = at;
    if (!is_newcomer(next_code_point(at))) continue;
    append_normalized(form, {stretch, static_cast<size_t>(here - stretch)}, buffer);
    buffer.append(here, at);
    stretch = at;
  }
  append_normalized(form, {stretch, static_cast<size_t>(end - stretch)}, buffer);
  return buffer;
}

}  // namespace nibble

#include "tokenizer/regex/regex.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/clock.h"
#include "tokenizer/regex/pattern.h"
#include "tokenizer/regex/symbol_map.h"
#include "tokenizer/unicode/utf8.h"

namespace nibble {
namespace {

// Backtracking steps allowed for one match: a constant, and some for every byte of text.
constexpr size_t kBaseSteps = 1000000;
constexpr size_t kStepsPerByte = 64;
constexpr uint32_t kMaxDepth = 1000000;
constexpr uint32_t kHeapLimitKib = 64 << 10;
constexpr size_t kJitStackStartBytes = 64 << 10;
constexpr size_t kJitStackMaxBytes = size_t{64} << 20;

// PCRE2 does not count the steps of simple repeats, and a search starts anew at every position. So
// a search advances by windows of starting positions, and the clock is looked at every so many of
// them. The time allowed is some hundred times what useful expressions need.
constexpr size_t kWindow = 1024;
constexpr size_t kSearchesPerClockCheck = 256;
constexpr double kBaseSeconds = 5.0;
constexpr double kSecondsPerMegabyte = 5.0;

struct CodeDeleter {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct MatchDataDeleter {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct MatchContextDeleter {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct JitStackDeleter {
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};

// The pattern over symbols: sets become classes of byte values.
std::string render(const Pattern& pattern, const SymbolMap& symbols) {
  std::string out;
  for (const PatternPart& part : pattern.parts) {
    if (part.set_index == PatternPart::kNoSet) {
      out += part.syntax;
      continue;
    }
    const auto& members = symbols.symbols_of(static_cast<size_t>(part.set_index));
    if (members.empty()) {
      out += "(?:(?!))";
      continue;
    }
    out += '[';
    for (size_t i = 0; i < members.size(); ++i) {
      const size_t first = i;
      while (i + 1 < members.size() && members[i + 1] == members[i] + 1) ++i;
      out += fmt::format(R"(\x{:02x}-\x{:02x})", members[first], members[i]);
    }
    out += ']';
  }
  return out;
}

std::string pcre_message(int code) {
  PCRE2_UCHAR buffer[256];
  if (pcre2_get_error_message(code, buffer, sizeof buffer) < 0) return fmt::format("code {}", code);
  return std::string(std::begin(buffer), std::find(std::begin(buffer), std::end(buffer), 0));
}

// Turns rising positions in symbols into positions in the text.
class PositionMap {
 public:
  PositionMap(std::string_view text, bool is_ascii) : text_(text), is_ascii_(is_ascii) {}

  size_t byte_at(size_t symbol) {
    if (is_ascii_) return symbol;
    while (symbol_ < symbol) {
      byte_ += utf8_length(text_[byte_]);
      ++symbol_;
    }
    return byte_;
  }

 private:
  std::string_view text_;
  bool is_ascii_;
  size_t symbol_ = 0;
  size_t byte_ = 0;
};

}  // namespace

struct Regex::Program {
  std::string expression;  // as written, for messages
  SymbolMap symbols;
  std::unique_ptr<pcre2_code, CodeDeleter> code;
};

namespace {

// One pass over one text: the state that PCRE2 needs and the budget of time.
class Search {
 public:
  Search(const pcre2_code* code, const std::vector<uint8_t>& symbols)
      : code_(code),
        symbols_(symbols),
        data_(pcre2_match_data_create(1, nullptr)),
        context_(pcre2_match_context_create(nullptr)),
        allowed_s_(kBaseSeconds + kSecondsPerMegabyte * static_cast<double>(symbols.size()) / 1e6) {
    const size_t steps = kBaseSteps + kStepsPerByte * symbols.size();
    pcre2_set_match_limit(context_.get(),
                          static_cast<uint32_t>(std::min<size_t>(steps, UINT32_MAX)));
    pcre2_set_depth_limit(context_.get(), kMaxDepth);
    pcre2_set_heap_limit(context_.get(), kHeapLimitKib);
  }

  // The first match from `start` on, in symbols; kNone if there is none; a PCRE2 error code below
  // 0.
  static constexpr int kNone = 0;
  static constexpr int kFound = 1;
  int next(size_t start, TextSpan& match) {
    for (;; start += kWindow) {
      if (++n_searches_ % kSearchesPerClockCheck == 0 && clock_.elapsed_s() > allowed_s_) {
        return PCRE2_ERROR_MATCHLIMIT;
      }
      pcre2_set_offset_limit(context_.get(), start + kWindow - 1);
      int rc = run(start);
      if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !stack_) {
        stack_.reset(pcre2_jit_stack_create(kJitStackStartBytes, kJitStackMaxBytes, nullptr));
        if (!stack_) return PCRE2_ERROR_NOMEMORY;
        pcre2_jit_stack_assign(context_.get(), nullptr, stack_.get());
        rc = run(start);
      }
      if (rc >= 0) {
        const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer(data_.get());
        match = {ends[0], ends[1]};
        return kFound;
      }
      if (rc != PCRE2_ERROR_NOMATCH) return rc;
      if (symbols_.size() < start + kWindow) return kNone;
    }
  }

 private:
  int run(size_t start) {
    return pcre2_match(code_, symbols_.data(), symbols_.size(), start, 0, data_.get(),
                       context_.get());
  }

  const pcre2_code* code_;
  const std::vector<uint8_t>& symbols_;
  std::unique_ptr<pcre2_match_data, MatchDataDeleter> data_;
  std::unique_ptr<pcre2_match_context, MatchContextDeleter> context_;
  std::unique_ptr<pcre2_jit_stack, JitStackDeleter> stack_;
  double allowed_s_;
  size_t n_searches_ = 0;
  Stopwatch clock_;
};

}  // namespace

Regex::Regex(std::unique_ptr<Program> program) : program_(std::move(program)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::compile(std::string_view expression, std::string_view subject) {
  ASSIGN_OR_RETURN(const Pattern pattern, parse_pattern(expression, subject));
  auto symbols = SymbolMap::create(pattern.sets);
  if (!symbols) {
    return Error(ErrorCode::kUnsupported,
                 fmt::format("the regular expression \"{:.200}\" tells more than 256 kinds of "
                             "characters apart",
                             expression),
                 std::string(subject));
  }
  const std::string rendered = render(pattern, *symbols);
  int error = 0;
  PCRE2_SIZE position = 0;
  std::unique_ptr<pcre2_code, CodeDeleter> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(rendered.data()), rendered.size(),
                    PCRE2_USE_OFFSET_LIMIT | PCRE2_NO_AUTO_CAPTURE | PCRE2_DOLLAR_ENDONLY, &error,
                    &position, nullptr));
  if (!code) {
    return Error(ErrorCode::kCorrupt,
                 fmt::format("the regular expression \"{:.200}\" does not compile: {}", expression,
                             pcre_message(error)),
                 std::string(subject));
  }
  // Without a just-in-time compiler for this processor PCRE2 interprets, with the same results.
  (void)pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  return Regex(std::unique_ptr<Program>(
      new Program{std::string(expression), std::move(*symbols), std::move(code)}));
}

Result<Regex> Regex::compile_literal(std::string_view literal, std::string_view subject) {
  std::string expression;
  for (const char c : literal) {
    const bool is_syntax = std::string_view(R"(\.+*?()|[]{}^$-)").find(c) != std::string_view::npos;
    if (is_syntax) expression += '\\';
    expression += c;
  }
  return compile(expression, subject);
}

Status Regex::find_all(std::string_view text, std::vector<uint8_t>& symbols,
                       std::vector<TextSpan>& out) const {
  out.clear();
  const bool is_ascii = program_->symbols.translate(text, symbols);
  PositionMap positions(text, is_ascii);
  Search search(program_->code.get(), symbols);
  std::optional<size_t> last_end;
  for (size_t start = 0; start <= symbols.size();) {
    TextSpan match;
    const int rc = search.next(start, match);
    if (rc == Search::kNone) break;
    if (rc != Search::kFound) {
      return Error(ErrorCode::kLimit,
                   fmt::format("splitting a text of {} bytes by the regular expression \"{:.200}\" "
                               "was stopped: {}",
                               text.size(), program_->expression, pcre_message(rc)));
    }
    if (match.begin == match.end && last_end == match.end) {
      ++start;
      continue;
    }
    start = match.end;
    last_end = match.end;
    const size_t begin = positions.byte_at(match.begin);
    out.push_back({begin, positions.byte_at(match.end)});
  }
  return {};
}

}  // namespace nibble

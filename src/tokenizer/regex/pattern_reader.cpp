#include "tokenizer/regex/pattern_reader.h"

#include <fmt/format.h>

#include "tokenizer/unicode/general_category.h"
#include "tokenizer/unicode/utf8.h"

namespace nibble {
namespace {

constexpr int kMaxClassDepth = 32;
constexpr char32_t kLastCodePoint = 0x10FFFF;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Takes up to max_digits hexadecimal digits, at least one.
Result<char32_t> take_hex(PatternReader& reader, int max_digits) {
  char32_t value = 0;
  int n_digits = 0;
  for (; n_digits < max_digits && hex_value(reader.peek()) >= 0; ++n_digits) {
    value = value * 16 + static_cast<char32_t>(hex_value(reader.peek()));
    reader.take();
  }
  if (n_digits == 0) return reader.broken("a hexadecimal number is expected");
  if (value > kLastCodePoint || (value >= 0xD800 && value < 0xE000)) {
    return reader.broken("this number is not a code point");
  }
  return value;
}

// \x41, \x{10FFFF} or \u0041, after the letter.
Result<char32_t> take_code_point(PatternReader& reader, char letter) {
  if (letter == 'u') {
    const size_t begin = reader.position();
    ASSIGN_OR_RETURN(const char32_t value, take_hex(reader, 4));
    if (reader.position() - begin != 4) return reader.broken("\\u needs four digits");
    return value;
  }
  if (!reader.skip("{")) return take_hex(reader, 2);
  ASSIGN_OR_RETURN(const char32_t value, take_hex(reader, 8));
  if (!reader.skip("}")) return reader.broken("the brace after \\x is not closed");
  return value;
}

Result<CodePointSet> take_property(PatternReader& reader, bool negated) {
  if (!reader.skip("{")) return reader.broken("\\p needs a name in braces");
  if (reader.skip("^")) negated = !negated;
  const auto name = reader.take_until('}');
  if (!name) return reader.broken("the brace after \\p is not closed");
  const auto categories = category_by_name(*name);
  if (!categories) {
    return reader.unsupported(
        fmt::format("the property \"{}\" (general categories such as L or Lu are)", *name));
  }
  CodePointSet set = code_points_of(*categories);
  if (negated) set.complement();
  return set;
}

CodePointSet hex_digits() {
  CodePointSet set;
  set.add('0', '9');
  set.add('A', 'F');
  set.add('a', 'f');
  return set;
}

EscapedSet shorthand(CodePointSet set, bool negated) {
  if (negated) set.complement();
  return {std::move(set), std::nullopt};
}

EscapedSet single(char32_t c) { return {CodePointSet(c), c}; }

bool is_ascii_alphanumeric(char32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

class ClassReader {
 public:
  ClassReader(PatternReader& reader, bool ignore_case)
      : reader_(reader), ignore_case_(ignore_case) {}

  Result<CodePointSet> read(int depth) {
    if (depth > kMaxClassDepth) return reader_.unsupported("so deep a nesting of classes");
    const bool negated = reader_.skip("^");
    CodePointSet all;
    CodePointSet operand;
    bool has_intersection = false;
    const auto end_operand = [&] {
      if (has_intersection) {
        all.intersect(operand);
      } else {
        all = operand;
      }
      has_intersection = true;
      operand = CodePointSet();
    };
    for (bool is_first = true;; is_first = false) {
      if (reader_.at_end()) return reader_.broken("a class is not closed by ]");
      if (!is_first && reader_.skip("]")) break;
      if (reader_.skip("&&")) {
        end_operand();
      } else if (reader_.starts_with("[:")) {
        return reader_.unsupported("a POSIX bracket such as [:alpha:]");
      } else if (reader_.skip("[")) {
        ASSIGN_OR_RETURN(const CodePointSet nested, read(depth + 1));
        operand.unite(nested);
      } else {
        RETURN_IF_ERROR(read_item(operand));
      }
    }
    end_operand();
    if (ignore_case_) all.close_under_case_folding();
    if (negated) all.complement();
    return all;
  }

 private:
  // One character, escape or range.
  Status read_item(CodePointSet& operand) {
    ASSIGN_OR_RETURN(const EscapedSet first, read_end_of_range());
    if (reader_.peek() != '-' || reader_.peek(1) == ']') {
      operand.unite(first.set);
      return {};
    }
    if (reader_.starts_with("-[") || reader_.starts_with("-&&")) {
      return reader_.unsupported("a \"-\" before a nested class; write \\-");
    }
    reader_.skip("-");
    if (reader_.at_end()) return reader_.broken("a class is not closed by ]");
    ASSIGN_OR_RETURN(const EscapedSet last, read_end_of_range());
    if (!first.single || !last.single || *first.single > *last.single) {
      return reader_.broken("the two ends of a range must be characters in rising order");
    }
    CodePointSet range;
    range.add(*first.single, *last.single);
    operand.unite(range);
    return {};
  }

  Result<EscapedSet> read_end_of_range() {
    if (!reader_.skip("\\")) return single(reader_.take());
    if (reader_.skip("b")) return single(0x8);
    return read_escaped_set(reader_);
  }

  PatternReader& reader_;
  bool ignore_case_;
};

}  // namespace

bool PatternReader::skip(std::string_view text) {
  if (!starts_with(text)) return false;
  at_ += text.size();
  return true;
}

std::optional<std::string_view> PatternReader::take_until(char terminator) {
  const size_t end = expression_.find(terminator, at_);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view taken = expression_.substr(at_, end - at_);
  at_ = end + 1;
  return taken;
}

char32_t PatternReader::take() {
  const char* at = expression_.data() + at_;
  const char32_t c = next_code_point(at);
  at_ = static_cast<size_t>(at - expression_.data());
  return c;
}

std::optional<int> PatternReader::take_number() {
  int value = 0;
  int n_digits = 0;
  for (; n_digits < 5 && peek() >= '0' && peek() <= '9'; ++n_digits) {
    value = value * 10 + (peek() - '0');
    ++at_;
  }
  if (n_digits == 0) return std::nullopt;
  return value;
}

Error PatternReader::broken(std::string_view what) const {
  return Error(ErrorCode::kCorrupt,
               fmt::format("the regular expression \"{:.200}\" is broken at byte {}: {}",
                           expression_, at_, what),
               std::string(subject_));
}

Error PatternReader::unsupported(std::string_view what) const {
  return Error(
      ErrorCode::kUnsupported,
      fmt::format("the regular expression \"{:.200}\" uses at byte {} what nibble does not "
                  "support: {}",
                  expression_, at_, what),
      std::string(subject_));
}

Result<EscapedSet> read_escaped_set(PatternReader& reader) {
  if (reader.at_end()) return reader.broken("it ends in a backslash");
  const char32_t c = reader.take();
  switch (c) {
    case 't':
      return single('\t');
    case 'n':
      return single('\n');
    case 'r':
      return single('\r');
    case 'f':
      return single('\f');
    case 'v':
      return single('\v');
    case 'a':
      return single('\a');
    case 'e':
      return single(0x1B);
    case 'd':
      return shorthand(code_points_of(mask_of(kNd)), false);
    case 'D':
      return shorthand(code_points_of(mask_of(kNd)), true);
    case 's':
      return shorthand(white_space(), false);
    case 'S':
      return shorthand(white_space(), true);
    case 'w':
      return shorthand(word_characters(), false);
    case 'W':
      return shorthand(word_characters(), true);
    case 'h':
      return shorthand(hex_digits(), false);
    case 'H':
      return shorthand(hex_digits(), true);
    case 'x':
    case 'u': {
      ASSIGN_OR_RETURN(const char32_t value, take_code_point(reader, static_cast<char>(c)));
      return single(value);
    }
    case 'p':
    case 'P': {
      ASSIGN_OR_RETURN(CodePointSet set, take_property(reader, c == 'P'));
      return EscapedSet{std::move(set), std::nullopt};
    }
    default:
      break;
  }
  if (is_ascii_alphanumeric(c)) {
    return reader.unsupported(fmt::format("\\{}", static_cast<char>(c)));
  }
  return single(c);
}

Result<CodePointSet> read_class(PatternReader& reader, bool ignore_case) {
  return ClassReader(reader, ignore_case).read(0);
}

}  // namespace nibble

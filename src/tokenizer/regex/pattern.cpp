#include "tokenizer/regex/pattern.h"

#include <fmt/format.h>

#include <algorithm>

#include "tokenizer/regex/pattern_reader.h"
#include "tokenizer/unicode/general_category.h"
#include "tokenizer/unicode/utf8.h"

namespace nibble {
namespace {

constexpr size_t kMaxExpressionBytes = 64 << 10;
constexpr int kMaxQuantifiers = 8;

class PatternParser {
 public:
  PatternParser(std::string_view expression, std::string_view subject)
      : reader_(expression, subject) {}

  Result<Pattern> parse() {
    while (!reader_.at_end()) RETURN_IF_ERROR(parse_one());
    if (groups_.size() > 1) return reader_.broken("a group is not closed");
    emit(std::string(groups_.back().n_extra_closings, ')'));
    return std::move(pattern_);
  }

 private:
  struct Group {
    bool ignore_case = false;
    bool dot_matches_newline = false;
    size_t n_extra_closings = 0;  // groups that an option without its own group has opened
  };

  void emit(std::string syntax) {
    if (!syntax.empty()) pattern_.parts.push_back({std::move(syntax), PatternPart::kNoSet});
  }

  void emit(const CodePointSet& set) {
    const auto found = std::find(pattern_.sets.begin(), pattern_.sets.end(), set);
    const auto index = static_cast<int>(found - pattern_.sets.begin());
    if (found == pattern_.sets.end()) pattern_.sets.push_back(set);
    pattern_.parts.push_back({"", index});
  }

  Status parse_one() {
    const char c = reader_.peek();
    switch (c) {
      case '|':
        reader_.take();
        emit("|");
        can_repeat_ = false;
        return {};
      case '(':
        reader_.take();
        return parse_group_start();
      case ')':
        reader_.take();
        return parse_group_end();
      case '*':
      case '+':
      case '?':
        return parse_quantifier();
      case '{':
        return parse_braces();
      case '\\':
        reader_.take();
        return parse_escape();
      case '^':
        reader_.take();
        emit_assertion(R"((?:\A|(?<=)", CodePointSet('\n'), R"()(?!\z)))");
        return {};
      case '$':
        reader_.take();
        emit_assertion(R"((?:\z|(?=)", CodePointSet('\n'), "))");
        return {};
      default:
        break;
    }
    mark_atom();
    if (c == '[') {
      reader_.take();
      ASSIGN_OR_RETURN(const CodePointSet set, read_class(reader_, groups_.back().ignore_case));
      emit(set);
    } else if (c == '.') {
      reader_.take();
      CodePointSet set;
      if (!groups_.back().dot_matches_newline) set.add('\n', '\n');
      set.complement();
      emit(set);
    } else {
      emit_literal(reader_.take());
    }
    return {};
  }

  // Remembers where a repeatable item begins.
  void mark_atom() {
    atom_begin_ = pattern_.parts.size();
    can_repeat_ = true;
    n_quantifiers_ = 0;
  }

  void emit_literal(char32_t c) {
    CodePointSet set(c);
    if (groups_.back().ignore_case) set.close_under_case_folding();
    emit(set);
  }

  void emit_assertion(std::string before, const CodePointSet& set, std::string after) {
    mark_atom();
    emit(std::move(before));
    emit(set);
    emit(std::move(after));
  }

  Status parse_group_start() {
    if (reader_.peek() == '*') return reader_.unsupported("a verb or callout (*...)");
    group_begins_.push_back(pattern_.parts.size());
    Group group = groups_.back();
    group.n_extra_closings = 0;
    can_repeat_ = false;
    if (!reader_.skip("?")) {
      emit("(?:");
      groups_.push_back(group);
      return {};
    }
    if (reader_.skip("#")) {
      group_begins_.pop_back();
      if (!reader_.take_until(')')) return reader_.broken("a comment is not closed");
      return {};
    }
    for (const std::string_view opening : {":", "=", "!", ">", "<=", "<!"}) {
      if (reader_.skip(opening)) {
        emit("(?" + std::string(opening));
        groups_.push_back(group);
        return {};
      }
    }
    if (reader_.skip("<")) {
      if (!reader_.take_until('>')) return reader_.broken("the name of a group is not closed");
      emit("(?:");
      groups_.push_back(group);
      return {};
    }
    return parse_options(group);
  }

  // (?im-im) for the rest of the enclosing group, across its alternatives, or (?im-im:...).
  Status parse_options(Group group) {
    bool value = true;
    for (;;) {
      if (reader_.skip("-")) {
        value = false;
      } else if (reader_.skip("i")) {
        group.ignore_case = value;
      } else if (reader_.skip("m")) {
        group.dot_matches_newline = value;
      } else {
        break;
      }
    }
    if (reader_.skip(":")) {
      emit("(?:");
      groups_.push_back(group);
      return {};
    }
    if (!reader_.skip(")")) return reader_.unsupported("this kind of group");
    group_begins_.pop_back();
    group.n_extra_closings = groups_.back().n_extra_closings + 1;
    groups_.back() = group;
    emit("(?:");
    return {};
  }

  Status parse_group_end() {
    if (groups_.size() == 1) return reader_.broken("a group is closed that was never opened");
    emit(std::string(groups_.back().n_extra_closings + 1, ')'));
    groups_.pop_back();
    atom_begin_ = group_begins_.back();
    group_begins_.pop_back();
    can_repeat_ = true;
    n_quantifiers_ = 0;
    return {};
  }

  Status parse_quantifier() {
    if (!can_repeat_) return reader_.broken("there is nothing to repeat");
    std::string syntax(1, static_cast<char>(reader_.take()));
    if (reader_.peek() == '?' || reader_.peek() == '+') {
      syntax.push_back(static_cast<char>(reader_.take()));
    }
    return repeat(std::move(syntax));
  }

  // {n}, {n,}, {,m} and {n,m}; anything else in braces is literal text. Of what may follow, only
  // {n,m}? is one quantifier; a + there repeats the repetition, and so does the ? of {n}?.
  Status parse_braces() {
    const size_t begin = reader_.position();
    reader_.take();
    const auto low = reader_.take_number();
    const bool has_comma = reader_.skip(",");
    const auto high = has_comma ? reader_.take_number() : low;
    if ((!low && !high) || !reader_.skip("}")) {
      reader_.go_back(begin);
      mark_atom();
      emit_literal(reader_.take());
      return {};
    }
    if (!can_repeat_) return reader_.broken("there is nothing to repeat");
    if (low && high && *low > *high) return reader_.unsupported("a repetition {n,m} with n > m");
    std::string syntax = fmt::format("{{{}", low.value_or(0));
    if (has_comma) syntax += high ? fmt::format(",{}", *high) : ",";
    syntax += "}";
    if (has_comma && reader_.skip("?")) syntax += "?";
    return repeat(std::move(syntax));
  }

  // A quantifier behind a quantifier repeats the whole before it, which PCRE2 needs in a group.
  Status repeat(std::string syntax) {
    if (n_quantifiers_ == kMaxQuantifiers)
      return reader_.unsupported("so many quantifiers in a row");
    if (n_quantifiers_ > 0) {
      const auto begin = pattern_.parts.begin() + static_cast<std::ptrdiff_t>(atom_begin_);
      pattern_.parts.insert(begin, PatternPart{"(?:", PatternPart::kNoSet});
      emit(")");
    }
    ++n_quantifiers_;
    emit(std::move(syntax));
    return {};
  }

  Status parse_escape() {
    mark_atom();
    switch (reader_.peek()) {
      case 'A':
        reader_.take();
        emit(R"(\A)");
        return {};
      case 'z':
        reader_.take();
        emit(R"(\z)");
        return {};
      case 'Z':
        reader_.take();
        emit_assertion(R"((?=)", CodePointSet('\n'), R"(?\z))");
        return {};
      case 'b':
      case 'B':
        emit_word_boundary(reader_.take() == 'b');
        return {};
      case 'R':
        reader_.take();
        emit_line_break();
        return {};
      default:
        break;
    }
    ASSIGN_OR_RETURN(EscapedSet escaped, read_escaped_set(reader_));
    if (escaped.single) {
      emit_literal(*escaped.single);
    } else {
      emit(escaped.set);
    }
    return {};
  }

  void emit_word_boundary(bool positive) {
    const CodePointSet word = word_characters();
    emit("(?:(?<=");
    emit(word);
    emit(positive ? ")(?!" : ")(?=");
    emit(word);
    emit(")|(?<!");
    emit(word);
    emit(positive ? ")(?=" : ")(?!");
    emit(word);
    emit("))");
  }

  void emit_line_break() {
    CodePointSet breaks;
    breaks.add('\n', '\r');
    breaks.add(0x85, 0x85);
    breaks.add(0x2028, 0x2029);
    emit("(?>");
    emit(CodePointSet('\r'));
    emit(CodePointSet('\n'));
    emit("|");
    emit(breaks);
    emit(")");
  }

  PatternReader reader_;
  Pattern pattern_;
  std::vector<Group> groups_{Group{}};
  std::vector<size_t> group_begins_;  // the part at which each open group begins
  size_t atom_begin_ = 0;
  bool can_repeat_ = false;
  int n_quantifiers_ = 0;  // behind the current item
};

}  // namespace

Result<Pattern> parse_pattern(std::string_view expression, std::string_view subject) {
  if (expression.size() > kMaxExpressionBytes) {
    return Error(ErrorCode::kLimit,
                 fmt::format("a regular expression of {} bytes; at most {} are accepted",
                             expression.size(), kMaxExpressionBytes),
                 std::string(subject));
  }
  return PatternParser(expression, subject).parse();
}

}  // namespace nibble

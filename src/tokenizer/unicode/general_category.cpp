#include "tokenizer/unicode/general_category.h"

#include <array>
#include <string>

namespace nibble {
namespace {

// Stands in the table for a stretch of capital and small letters in turn, starting with a capital.
constexpr auto kUpperLowerPairs = static_cast<Category>(kCn + 1);

struct Run {
  uint32_t first;
  Category category;
};

constexpr Run kRuns[] = {
#include "tokenizer/unicode/general_category_table.inc"
};
constexpr size_t kRunCount = sizeof(kRuns) / sizeof(kRuns[0]);
constexpr char32_t kLastCodePoint = 0x10FFFF;

struct CategoryName {
  std::string_view name;  // lower case
  CategoryMask mask;
};

constexpr CategoryMask kPunctuationMask = mask_of(kPc) | mask_of(kPd) | mask_of(kPs) |
                                          mask_of(kPe) | mask_of(kPi) | mask_of(kPf) | mask_of(kPo);
constexpr CategoryMask kSymbolMask = mask_of(kSm) | mask_of(kSc) | mask_of(kSk) | mask_of(kSo);
constexpr CategoryMask kSeparatorMask = mask_of(kZs) | mask_of(kZl) | mask_of(kZp);
constexpr CategoryMask kOtherMask =
    mask_of(kCc) | mask_of(kCf) | mask_of(kCs) | mask_of(kCo) | mask_of(kCn);

constexpr CategoryName kNames[] = {
    {"l", kLetterMask},      {"letter", kLetterMask},
    {"m", kMarkMask},        {"mark", kMarkMask},
    {"n", kNumberMask},      {"number", kNumberMask},
    {"p", kPunctuationMask}, {"punctuation", kPunctuationMask},
    {"s", kSymbolMask},      {"symbol", kSymbolMask},
    {"z", kSeparatorMask},   {"separator", kSeparatorMask},
    {"c", kOtherMask},       {"other", kOtherMask},
    {"lu", mask_of(kLu)},    {"ll", mask_of(kLl)},
    {"lt", mask_of(kLt)},    {"lm", mask_of(kLm)},
    {"lo", mask_of(kLo)},    {"mn", mask_of(kMn)},
    {"mc", mask_of(kMc)},    {"me", mask_of(kMe)},
    {"nd", mask_of(kNd)},    {"nl", mask_of(kNl)},
    {"no", mask_of(kNo)},    {"pc", mask_of(kPc)},
    {"pd", mask_of(kPd)},    {"ps", mask_of(kPs)},
    {"pe", mask_of(kPe)},    {"pi", mask_of(kPi)},
    {"pf", mask_of(kPf)},    {"po", mask_of(kPo)},
    {"sm", mask_of(kSm)},    {"sc", mask_of(kSc)},
    {"sk", mask_of(kSk)},    {"so", mask_of(kSo)},
    {"zs", mask_of(kZs)},    {"zl", mask_of(kZl)},
    {"zp", mask_of(kZp)},    {"cc", mask_of(kCc)},
    {"cf", mask_of(kCf)},    {"cs", mask_of(kCs)},
    {"co", mask_of(kCo)},    {"cn", mask_of(kCn)},
};

}  // namespace

std::optional<CategoryMask> category_by_name(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  for (const CategoryName& row : kNames) {
    if (row.name == lower) return row.mask;
  }
  return std::nullopt;
}

CodePointSet code_points_of(CategoryMask categories) {
  CodePointSet set;
  const bool upper = (categories & mask_of(kLu)) != 0;
  const bool lower = (categories & mask_of(kLl)) != 0;
  for (size_t i = 0; i < kRunCount; ++i) {
    const char32_t first = kRuns[i].first;
    const char32_t last = i + 1 < kRunCount ? kRuns[i + 1].first - 1 : kLastCodePoint;
    if (kRuns[i].category != kUpperLowerPairs) {
      if ((categories & mask_of(kRuns[i].category)) != 0) set.add(first, last);
    } else if (upper && lower) {
      set.add(first, last);
    } else if (upper || lower) {
      for (char32_t c = first + (lower ? 1 : 0); c <= last; c += 2) set.add(c, c);
    }
  }
  return set;
}

CodePointSet white_space() {
  CodePointSet set;
  set.add(0x9, 0xD);
  set.add(0x85, 0x85);
  set.unite(code_points_of(kSeparatorMask));
  return set;
}

CodePointSet word_characters() {
  CodePointSet set =
      code_points_of(kLetterMask | kMarkMask | mask_of(kNd) | mask_of(kNl) | mask_of(kPc));
  constexpr std::array<CodePointRange, 7> kExtra = {{{0xB2, 0xB3},
                                                     {0xB9, 0xB9},
                                                     {0xBC, 0xBE},
                                                     {0x24B6, 0x24E9},
                                                     {0x1F130, 0x1F149},
                                                     {0x1F150, 0x1F169},
                                                     {0x1F170, 0x1F189}}};
  for (const CodePointRange& range : kExtra) set.add(range.first, range.last);
  return set;
}

}  // namespace nibble

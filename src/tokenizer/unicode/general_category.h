// The general category of every code point in Unicode 16.0, the version of the regular-expression
// engine whose splits our tokens must equal; libraries of the system carry other versions. The
// tables are written by tools/make_unicode_tables.py.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tokenizer/regex/code_point_set.h"

namespace nibble {

/// One bit per category, so that a set of categories is a sum.
using CategoryMask = uint32_t;

enum Category : uint8_t {
  kLu,
  kLl,
  kLt,
  kLm,
  kLo,
  kMn,
  kMc,
  kMe,
  kNd,
  kNl,
  kNo,
  kPc,
  kPd,
  kPs,
  kPe,
  kPi,
  kPf,
  kPo,
  kSm,
  kSc,
  kSk,
  kSo,
  kZs,
  kZl,
  kZp,
  kCc,
  kCf,
  kCs,
  kCo,
  kCn,
};

inline constexpr CategoryMask mask_of(Category category) { return CategoryMask{1} << category; }

inline constexpr CategoryMask kLetterMask =
    mask_of(kLu) | mask_of(kLl) | mask_of(kLt) | mask_of(kLm) | mask_of(kLo);
inline constexpr CategoryMask kMarkMask = mask_of(kMn) | mask_of(kMc) | mask_of(kMe);
inline constexpr CategoryMask kNumberMask = mask_of(kNd) | mask_of(kNl) | mask_of(kNo);

/// The categories that a property name of a regular expression means: one or two letters ("L",
/// "Lu"; case does not matter) or the long name of a main category ("Letter").
std::optional<CategoryMask> category_by_name(std::string_view name);

/// All code points of the given categories.
CodePointSet code_points_of(CategoryMask categories);

/// The 25 code points with the property White_Space (`\s`).
CodePointSet white_space();

/// What `\w` matches in the reference engine: letters, marks, decimal and letter numbers,
/// connecting punctuation, encircled letters, and its own addition, the fractions and superscripts
/// of Latin-1.
CodePointSet word_characters();

}  // namespace nibble

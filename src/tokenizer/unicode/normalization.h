// The four Unicode normal forms with the character set of Unicode 9.0, as the reference tokenizer
// computes them.
#pragma once

#include <string>
#include <string_view>

namespace nibble {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

/// Normalises valid UTF-8. Returns `text` itself where nothing changes (for NFC the usual case,
/// found at the speed of a scan), else a view of `buffer`, which is overwritten.
///
/// The reference library normalises with the tables of Unicode 9.0. A code point that 9.0 had not
/// assigned has no decomposition, combines with nothing and stops the reordering of marks there; so
/// text is cut at such code points and what lies between is normalised alone. Inside those
/// stretches all versions since 9.0 agree, by Unicode's stability policy, whatever version utf8proc
/// has.
///
/// Cost: linear, but n log n in the length of one unbroken stack of combining marks.
std::string_view normalize(NormalForm form, std::string_view text, std::string& buffer);

}  // namespace nibble

#include "cli/token_ids.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

namespace nibble {

Result<std::vector<int32_t>> parse_token_ids(std::string_view text) {
  constexpr std::string_view kSeparators = ", \t\r\n[]";
  std::vector<int32_t> ids;
  while (true) {
    const size_t first = text.find_first_not_of(kSeparators);
    if (first == std::string_view::npos) break;
    text.remove_prefix(first);
    const std::string_view word = text.substr(0, text.find_first_of(kSeparators));
    int32_t id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size() || id < 0) {
      return Error(ErrorCode::kInvalidArgument,
                   fmt::format("\"{}\" is not a token id: expected numbers from 0 separated by "
                               "commas or blanks",
                               word));
    }
    ids.push_back(id);
    text.remove_prefix(word.size());
  }
  if (ids.empty()) {
    return Error(ErrorCode::kInvalidArgument, "no token ids given: expected a list like 1,2,3");
  }
  return ids;
}

std::string token_ids_text(std::span<const int32_t> ids) {
  return fmt::format("{}", fmt::join(ids, ","));
}

}  // namespace nibble

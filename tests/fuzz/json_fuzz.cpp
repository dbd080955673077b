// Fuzzes the JSON door: whatever parses must print, and what was printed must parse to the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/check.h"
#include "core/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const nibble::Result<nibble::Json> json = nibble::parse_json(text, "input");
  const nibble::Result<nibble::SortedJson> sorted = nibble::parse_sorted_json(text, "input");
  CHECK(json.has_value() == sorted.has_value());
  if (!json) return 0;
  const std::string printed = nibble::dump_json(*json);
  const nibble::Result<nibble::Json> again = nibble::parse_json(printed, "printed");
  CHECK(again.has_value() && nibble::dump_json(*again) == printed);
  return 0;
}

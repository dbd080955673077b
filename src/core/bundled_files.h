// Files of the source tree that are part of the program (bundle_files in CMakeLists.txt says
// which).
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace nibble {

/// One file.
struct BundledFile {
  std::string_view path;  ///< from the root of the source tree: "recipes/all.json"
  const char* begin;
  const char* end;

  std::string_view content() const { return {begin, static_cast<size_t>(end - begin)}; }
};

/// All of them, sorted by path.
std::span<const BundledFile> bundled_files();

}  // namespace nibble

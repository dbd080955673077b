// Where tests find their files: data in the tree, the bundled model, and the larger golden set that
// is present only beside some checkouts (tests skip without it).
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace nibble::test {

/// What NIBBLE_CPU names: tests that make one CPU backend give it to CpuOptions or EngineOptions.
/// Empty: the best that this processor supports.
inline std::string forced_cpu_implementation;

/// A path inside the source tree.
inline std::string source_path(const std::string& relative) {
  return std::string(NIBBLE_SOURCE_DIR) + "/" + relative;
}

/// A path inside the shared golden set, or "" where there is none.
inline std::string golden_path(const std::string& relative) {
  const std::filesystem::path root =
      std::filesystem::path(NIBBLE_SOURCE_DIR) / ".." / "shared" / "golden" / relative;
  return std::filesystem::exists(root) ? root.lexically_normal().string() : std::string();
}

/// A fresh empty folder, removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "nibble_test_XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string path(const std::string& relative = {}) const {
    return relative.empty() ? path_ : path_ + "/" + relative;
  }

 private:
  std::string path_;
};

}  // namespace nibble::test

/// Ends a test as skipped where the larger golden set is not present.
#define REQUIRE_GOLDEN(path) \
  if ((path).empty()) GTEST_SKIP() << "the larger golden set is not beside this checkout"

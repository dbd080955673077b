#include "checkpoint/side_files.h"

#include <fmt/format.h>

#include "checkpoint/gguf/file_set.h"
#include "checkpoint/gguf/tokenizer_files.h"
#include "core/file.h"

namespace nibble {

Result<bool> is_gguf_model(const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, find_gguf_file(path));
  return file.has_value();
}

Result<std::string> read_side_file(const std::string& path, std::string_view name) {
  ASSIGN_OR_RETURN(const auto gguf_file, find_gguf_file(path));
  if (!gguf_file) return read_file(fmt::format("{}/{}", path, name));
  ASSIGN_OR_RETURN(const GgufFile file, GgufFile::open(*gguf_file));
  return gguf_side_file(file.header(), name, *gguf_file);
}

}  // namespace nibble

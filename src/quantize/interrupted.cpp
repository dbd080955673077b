#include "quantize/interrupted.h"

#include <fmt/format.h>

namespace nibble {

Error keep_interrupted(const Error& error, std::string_view dialect, CheckpointWriter& writer) {
  writer.keep_partial();
  // A folder has a journal; a single file has not.
  const std::string_view next =
      dialect == "gguf" ? "the same command writes it anew" : "the same command goes on from there";
  return Error(error.code,
               fmt::format("{}; {} holds what was done so far: {}, or delete it", error.message,
                           writer.partial_folder(), next),
               error.subject);
}

}  // namespace nibble

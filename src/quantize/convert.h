// Converting a checkpoint to another dialect or container without quantizing it again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"

namespace nibble {

/// What the user asked for.
struct ConvertJob {
  std::string source;         ///< a folder or a GGUF file
  std::string destination;    ///< a folder, or with "gguf" a file that ends in ".gguf"
  std::string dialect;        ///< a name of convert_dialects()
  bool dequantize = false;    ///< quantized matrices become BF16 (in GGUF: the plain type)
  bool keep_unequal = false;  ///< write fused siblings with different tensor scales as they are
  bool drop_cache_scales = false;   ///< leave the scales of an FP8 key/value cache out
  std::string plain_type = "keep";  ///< a name of convert_plain_types(); for "gguf" only
  bool force = false;
};

/// "compressed-tensors", "modelopt", "gguf", "hf".
std::vector<std::string_view> convert_dialects();
/// "keep", "bf16", "f16", "f32", "q8_0".
std::vector<std::string_view> convert_plain_types();

/// What was done.
struct ConvertReport {
  std::string from;  ///< dialect of the source
  std::string to;
  size_t n_tensors = 0;       ///< of the source
  size_t n_quantized = 0;     ///< matrices whose codes and scales were carried over
  size_t n_dequantized = 0;   ///< matrices that became plain elements
  size_t n_rescaled = 0;      ///< siblings brought to one tensor scale, exactly
  size_t n_moved_scales = 0;  ///< tensor scales moved to a neighbour, one unit in the last place
  std::vector<std::string> left_out;  ///< tensors that the target has no place for
  uint64_t n_source_bytes = 0;
  uint64_t n_output_bytes = 0;
  double elapsed_s = 0.0;
};

/// Converts. Codes and block scales of NVFP4 are carried over bit for bit, FP8 where the target
/// states it; everything else is carried over or widened as the target needs. Memory: a few
/// matrices. Nothing is written where it would not be right: bad scales, fused siblings with
/// different tensor scales, number formats that the target does not hold are errors that say what
/// to do.
/// Errors: those of Checkpoint::open and CheckpointWriter; kInvalidArgument, kUnsupported,
/// kCorrupt; kCancelled and kNoSpace (the unfinished output stays and is named in the message).
Result<ConvertReport> run_convert(const ConvertJob& job, const ProgressSink& progress = {});

/// The report as one JSON object, and for people.
Json convert_json(const ConvertReport& report);
std::string convert_text(const ConvertReport& report);

}  // namespace nibble

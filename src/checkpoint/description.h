// What a folder should say of its own quantization, for those who examine and repair folders whose
// description may be wrong.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/json.h"

namespace nibble {

/// The canonical name of a stored tensor or module: without the prefixes that wrappers stack.
std::string canonical_tensor_name(std::string_view stored);

/// A module of a folder and how its weight is stored.
struct DescribedModule {
  std::string name;                   ///< stored name without ".weight"
  Storage storage = Storage::kPlain;  ///< kPlain, kNvfp4 or kFp8
  bool has_row_scales = false;        ///< kFp8: one scale a row instead of one
  bool has_input_scale = false;       ///< a static activation scale is stored
  bool linear_like = false;           ///< a weight of at least two dimensions
};

/// The `quantization_config` of compressed-tensors for such modules. Its `ignore` list matches
/// every unquantized module under the names that engines give it, and no other.
Json compressed_tensors_section(const std::vector<DescribedModule>& modules, bool has_fp8_cache);

/// The two descriptions of ModelOpt: `quantization_config`, and the content of
/// hf_quant_config.json.
struct ModelOptSections {
  Json config_section;
  Json quant_file;
};
ModelOptSections modelopt_sections(const std::vector<DescribedModule>& modules, bool has_fp8_cache);

}  // namespace nibble

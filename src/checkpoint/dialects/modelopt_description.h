// ModelOpt's two descriptions: `quantization_config` in config.json, and hf_quant_config.json.
#pragma once

#include <string>
#include <string_view>

#include "checkpoint/dialects/dialect.h"
#include "core/json.h"

namespace nibble {

/// The second of the two files; some engines read only this one, others only config.json.
inline constexpr std::string_view kHfQuantConfigName = "hf_quant_config.json";

/// True for descriptions that ModelOpt wrote, in whichever place.
bool is_modelopt_description(DescriptionPlace place, const Json& description);

/// Both descriptions of an output.
Json modelopt_config_section(const OutputSummary& summary);
Json modelopt_quant_file(const OutputSummary& summary);

}  // namespace nibble

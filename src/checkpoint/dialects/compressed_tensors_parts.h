// How compressed-tensors names the parts of a matrix; other tools pack in the same way.
#pragma once

#include <array>
#include <string_view>

#include "checkpoint/dialects/quantized_parts.h"

namespace nibble {

inline constexpr std::array<std::string_view, 3> kCompressedTensorsUnsupported = {
    ".weight_zero_point", ".weight_g_idx", ".pre_quant_scale"};

inline constexpr QuantizedPartNames kCompressedTensorsParts = {
    .codes = ".weight_packed",
    .scales = ".weight_scale",
    .tensor_scale = ".weight_global_scale",
    .input_scale = ".input_global_scale",
    .fp8_input_scale = ".input_scale",
    .nvfp4_scalars_are_divisors = true,
    .unsupported = kCompressedTensorsUnsupported,
};

}  // namespace nibble

// Round to nearest: the block scale maps the block's largest magnitude to 6.
#pragma once

#include "quantize/methods/row_wise.h"

namespace nibble {

/// Block scale = nvfp4_block_scale(largest magnitude), codes = the nearest ones. Cost: one division
/// a weight.
Result<QuantizedMatrix> quantize_rtn(const MatrixTask& task, ThreadPool& pool);

}  // namespace nibble

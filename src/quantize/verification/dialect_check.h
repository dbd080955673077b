// Compares a tensor with the one it was converted from, across dialects and containers.
#pragma once

#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/grouped_matrix.h"
#include "core/json.h"
#include "quantize/verify.h"

namespace nibble {

/// How a tensor and its original agree.
enum class Agreement : uint8_t {
  kSame,       ///< the same values, or the original's rounded to the stored type
  kQuantized,  ///< quantized here, plain in the original: to be measured
  kDiffers,
};

/// Whether the file keeps the tensor in the form "gguf".
bool is_gguf_dialect(const Checkpoint& checkpoint);

/// Compares two tensors of the same canonical name and shape, given in grouped form.
///
/// Codes and block scales of NVFP4 must be equal; between dialects tensor scales may differ by one
/// unit in the last place, where one stores reciprocals, or by an exact change of block scales.
/// Plain elements must be what rounding the original's values to the stored type gives; vectors of
/// GGUF files, whose norms and logarithms are stored changed, may miss that by 2^-20. Errors: those
/// of decode_rows.
Result<Agreement> compare_across(const MatrixSource& ours, const MatrixSource& theirs,
                                 bool between_dialects, bool is_vector_of_gguf);

/// Compares the settings of two models that decide what is computed, however their configs state
/// them. The configs must parse; where one does not, nothing is said here.
void check_model_settings(const Json& source, const Json& config,
                          std::vector<VerifyProblem>& problems);

/// Sum of squared differences over the sum of squares of `theirs`. Errors: those of decode_rows.
Result<double> relative_mse_across(const MatrixSource& ours, const MatrixSource& theirs);

}  // namespace nibble

#include "quantize/methods/rtn.h"

namespace nibble {

Result<QuantizedMatrix> quantize_rtn(const MatrixTask& task, ThreadPool& pool) {
  return quantize_rows(task, best_row_kernels().rtn, pool);
}

}  // namespace nibble

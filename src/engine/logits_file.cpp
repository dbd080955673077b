#include "engine/logits_file.h"

#include <algorithm>

#include "checkpoint/tensor_file.h"
#include "tensor/tensor.h"

namespace nibble {

Status write_logits_file(Engine& engine, std::span<const int32_t> tokens, const std::string& path) {
  const auto vocab_size = static_cast<size_t>(engine.config().vocab_size);
  ASSIGN_OR_RETURN(Tensor logits, Tensor::zeros(DType::kF32, {tokens.size(), vocab_size}));
  const std::span<float> values = logits.as<float>();
  RETURN_IF_ERROR(engine.score(tokens, 0, [&](size_t position, std::span<const float> row) {
    std::copy(row.begin(), row.end(),
              values.begin() + static_cast<std::ptrdiff_t>(position * vocab_size));
    return Status();
  }));
  const NamedTensor file[] = {{"logits", logits.view()}};
  return write_tensor_file(path, file);
}

}  // namespace nibble

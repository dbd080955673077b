// The declared list of tensors of a model: name, shape, role. Meaning is never guessed from a name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/result.h"
#include "model/config.h"

namespace nibble {

/// What a tensor does in the model.
enum class TensorRole : uint8_t {
  kEmbedding,
  kHead,
  kNorm,
  kAttentionInput,  ///< q, k, v projections
  kAttentionOutput,
  kDeltaInput,  ///< in_proj_qkv, in_proj_z
  kDeltaGate,   ///< in_proj_a, in_proj_b
  kDeltaOutput,
  kDeltaSmall,  ///< conv1d, A_log, dt_bias
  kMlpInput,    ///< gate, up projections
  kMlpOutput,
  kRouter,
  kExpertInput,
  kExpertOutput,
  kMtp,         ///< anything of the multi-token-prediction layer
  kVision,      ///< anything of the vision tower
  kCacheScale,  ///< scale of a quantized key/value cache; kept, not applied
};

/// "attention input", for tables.
std::string_view role_name(TensorRole role);

/// One row of the table.
struct TensorSpec {
  std::string name;  ///< canonical
  Shape shape;
  TensorRole role;
  int64_t layer = -1;      ///< -1 outside the layers
  bool is_linear = false;  ///< a weight matrix of a linear layer of the text body: may be quantized
  std::string fused_group;  ///< engines fuse the members of a group: they share one tensor scale;
                            ///< empty for none
};

/// The text model's tensors, in layer order, experts as matrices of their own. Vision and MTP
/// tensors are not listed, nor is the head of a model whose embedding serves as head.
std::vector<TensorSpec> tensor_table(const ModelConfig& config);

/// Role of any tensor of a checkpoint: by the table (and of a head that a tied checkpoint stores
/// all the same), or kMtp / kVision / kCacheScale by its canonical name.
/// Nothing for tensors that the model does not know.
class TensorRoles {
 public:
  explicit TensorRoles(const ModelConfig& config);
  ~TensorRoles();
  const TensorSpec* find(std::string_view name) const;
  std::optional<TensorRole> role_of(std::string_view name) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Compares a checkpoint with the table: every missing, surplus and wrongly shaped tensor in one
/// error message. Surplus vision and MTP tensors are fine, and so is the stored head of a tied
/// model. Errors: kMismatch.
Status check_tensors(const Checkpoint& checkpoint, const ModelConfig& config);

}  // namespace nibble

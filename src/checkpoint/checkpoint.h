// A checkpoint folder in one canonical view, whatever tool wrote it.
//
// Names are canonical: the text model's tensors carry no prefix ("embed_tokens.weight",
// "layers.0.mlp.gate_proj.weight", "norm.weight", "lm_head.weight"), the vision tower's begin with
// "visual.", the multi-token-prediction layer's with "mtp.". A quantized matrix appears once, under
// the name of its weight; its scales are part of it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "tensor/matrix_source.h"
#include "tensor/quantized_matrix.h"
#include "tensor/tensor.h"

namespace nibble {

/// How a tensor's values lie in the file.
enum class Storage : uint8_t {
  kPlain,   ///< row-major elements of `dtype`
  kNvfp4,   ///< codes, block scales and a tensor scale; dtype is kU8
  kFp8,     ///< E4M3 elements with one scale or one a row; dtype is kF8E4M3
  kBlocks,  ///< blocks of GGUF, of the kind `block_kind`; dtype is kU8
};

/// One tensor of a checkpoint. Bytes are borrowed from the Checkpoint that listed it.
struct TensorInfo {
  std::string name;         ///< canonical
  std::string stored_name;  ///< as in the file, prefix included; of a quantized matrix, or one of a
                            ///< stack of experts, what it would be stored as alone: "X.weight"
  std::string shard;        ///< file name inside the folder; empty where the checkpoint is one file
  Storage storage = Storage::kPlain;
  BlockKind block_kind = BlockKind::kQ8_0;  ///< of kBlocks
  DType dtype = DType::kF32;
  Shape shape;           ///< logical; a matrix is [out_features, in_features]
  uint64_t n_bytes = 0;  ///< stored bytes, scales included
};

/// What the values are stored as, for tables and messages: "BF16", "NVFP4", "FP8", "Q4_K".
std::string_view storage_name(const TensorInfo& tensor);

/// An opened checkpoint folder. Immutable; all reads are safe from several threads. Opening reads
/// headers only; views stay valid while the object lives.
class Checkpoint {
 public:
  /// Opens a folder or a GGUF model, recognises its dialect, and checks every header, offset, shape
  /// and the completeness of quantized matrices before any weight is touched.
  /// Errors: kNotFound, kCorrupt, kUnsupported (dialect or number format), kLimit.
  static Result<std::shared_ptr<const Checkpoint>> open(const std::string& path);
  ~Checkpoint();

  const std::string& folder() const;
  /// The recognised dialect: "hf", "compressed-tensors", "modelopt", "auto-round", "gguf".
  std::string_view dialect() const;
  /// The parsed config.json, every field kept in order.
  const Json& config() const;

  /// All tensors in the order of shards and offsets.
  std::span<const TensorInfo> tensors() const;
  /// The tensor of that canonical name, or nullptr. Cost: a hash look-up.
  const TensorInfo* find(std::string_view name) const;

  /// The elements of a plain tensor, in the mapped file.
  TensorView plain(const TensorInfo& tensor) const;
  /// A quantized matrix, in the mapped file, its second-level scale inverted if the dialect needs
  /// it.
  QuantizedMatrixView nvfp4(const TensorInfo& tensor) const;
  /// A tensor of any storage as a matrix, borrowed. Of a tensor of more axes, the last are the
  /// columns and all others the rows.
  MatrixSource matrix(const TensorInfo& tensor) const;

  /// Decodes rows [first_row, first_row + n_rows) of any floating tensor of rank >= 1 to F32; a row
  /// is one index of the first axis.
  ///   out  n_rows * (elements per row)
  Status read_rows_f32(const TensorInfo& tensor, uint64_t first_row, uint64_t n_rows,
                       std::span<float> out) const;

  /// The text of a small file beside the weights, whatever kind of checkpoint this is:
  /// "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json".
  /// What a single file keeps in its metadata is given in the same form.
  /// Errors: kNotFound where there is none; kInvalidArgument (a path instead of a name),
  /// kPermission, kIo, kLimit.
  Result<std::string> side_file(std::string_view name) const;

  /// Where a tensor lies, for messages: "folder/shard", or the checkpoint's one file.
  std::string file_path(const TensorInfo& tensor) const;

  /// kIo if any mapped byte that was read could not be (a shard was truncated while in use). Ask
  /// after a pass over the weights, before trusting what was computed from them.
  Status intact() const;

  /// Hints that the tensor's pages will not be read again soon.
  void release(const TensorInfo& tensor) const;

  struct Impl;  // private to the room
  explicit Checkpoint(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

/// Looks at every block scale: none may be NaN or negative, and no tensor scale may be so large
/// that it must have been stored inverted. Opening does not do this, because it reads a ninth of
/// the quantized bytes. Errors: kCorrupt (all bad matrices in one message), kIo.
Status check_scales(const Checkpoint& checkpoint);

}  // namespace nibble

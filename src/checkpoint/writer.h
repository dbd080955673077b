// Writes a checkpoint folder in a chosen dialect, streamed, so that it exists only when it is
// whole.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace nibble {

/// How an output stores a tensor.
enum class WeightTarget : uint8_t {
  kKeep,        ///< as the source has it: plain bytes pass through unchanged, a quantized matrix
                ///< keeps its codes and scales in the output's dialect
  kNvfp4,       ///< a matrix whose columns are a multiple of 16
  kFp8Tensor,   ///< a matrix in FP8 with one scale
  kFp8Channel,  ///< a matrix in FP8 with one scale a row
};

/// What becomes of one tensor of the source.
struct PlannedTensor {
  const TensorInfo* source = nullptr;  ///< borrowed from the source checkpoint
  WeightTarget target = WeightTarget::kKeep;
  bool has_input_scale = false;  ///< of a matrix not kept: it will carry a static activation scale
};

struct WriterOptions {
  std::string dialect = "compressed-tensors";  ///< a name of writable_dialects()
  bool force = false;                          ///< replace an existing output folder
  uint64_t max_shard_bytes = uint64_t{5} << 30;
};

/// The dialects that can be written, for messages and --help.
std::vector<std::string_view> writable_dialects();

/// Streams tensors into `DST.partial` and renames it to DST in finish(). Headers are written first:
/// the plan fixes every name, shape and offset. Not thread safe. If the object dies before
/// finish(), DST.partial is removed, unless keep_partial() was called or the disk was full. The
/// next run takes over a DST.partial that was left behind. An existing DST (with `force`) stays as
/// it is until the new one is whole.
///
/// Tensors are named as in the source, prefix included. The folder holds the shards, config.json
/// with every field of the source and the dialect's description, and every other file of the source
/// but weights in other containers and other descriptions of quantization.
class CheckpointWriter {
 public:
  /// Checks the target (not inside the source, not the source, not existing without force,
  /// writable, enough free space for the plan) and creates DST.partial.
  ///   plan  every tensor of the source once, in the order of writing
  /// Errors: kInvalidArgument, kAlreadyExists, kNotFound, kPermission, kNoSpace, kIo.
  static Result<std::unique_ptr<CheckpointWriter>> create(std::shared_ptr<const Checkpoint> source,
                                                          std::vector<PlannedTensor> plan,
                                                          const std::string& destination,
                                                          const WriterOptions& options);
  virtual ~CheckpointWriter() = default;

  /// The plan in the order in which the tensors must be written.
  virtual std::span<const PlannedTensor> plan() const = 0;

  /// Bytes that all tensors will take, and how many were written.
  virtual uint64_t total_bytes() const = 0;
  virtual uint64_t n_written_bytes() const = 0;

  /// Passes the next tensor of the plan through, byte for byte.
  virtual Status write_source() = 0;
  /// Writes the next tensor of the plan in NVFP4. Its shape and the presence of an input scale must
  /// be those of the plan (CHECK). Errors also: kInvalidArgument (compressed-tensors: a tensor
  /// scale that is not the reciprocal of its reciprocal), kNotFinite.
  virtual Status write_nvfp4(const QuantizedMatrixView& matrix) = 0;

  /// Writes index, config with the dialect's description, and every other file of the source folder
  /// byte for byte; syncs; renames. Only after the last tensor.
  virtual Status finish() = 0;

  /// Leaves DST.partial in place when the object dies (interrupted or out of space).
  virtual void keep_partial() = 0;
  virtual const std::string& partial_folder() const = 0;
};

}  // namespace nibble

// Writes a checkpoint folder in a chosen dialect, streamed, so that it exists only when it is
// whole.
#pragma once

#include <memory>
#include <optional>
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
  kDecode,      ///< plain elements: what the source has quantized becomes BF16
  kLeaveOut,    ///< not at all
};

/// What the unquantized matrices of a GGUF file are stored as. Vectors, norms and other small
/// tensors are always F32 there.
enum class PlainType : uint8_t { kKeep, kF32, kF16, kBF16, kQ8_0 };

/// What becomes of one tensor of the source.
struct PlannedTensor {
  const TensorInfo* source = nullptr;  ///< borrowed from the source checkpoint
  WeightTarget target = WeightTarget::kKeep;
  bool has_input_scale = false;  ///< of a matrix not kept: it will carry a static activation scale
  /// With a key or value projection of the attention (k_proj, v_proj), of any target: the scale of
  /// what an FP8 cache holds of it (multiplier, amax / 448), stored beside it.
  std::optional<float> cache_scale = std::nullopt;
};

/// What the caller wants to be known of a tensor when it is complete.
struct TensorNote {
  std::string source_hash;  ///< of the source's bytes, for the manifest; may be empty
  Json report = nullptr;    ///< the caller's own; an interrupted run gives it back
};

/// A tensor of the plan that is in the output.
struct FinishedTensor {
  const TensorInfo* source = nullptr;
  std::vector<std::string> hashes;  ///< of the stored parts
  TensorNote note;
};

struct WriterOptions {
  std::string dialect = "compressed-tensors";  ///< a name of writable_dialects()
  bool force = false;                          ///< replace an existing output folder
  uint64_t max_shard_bytes = uint64_t{5} << 30;
  PlainType plain_type = PlainType::kKeep;  ///< "gguf" only
  /// What the output is made with: every choice that could change a byte of it, nothing that could
  /// not. With it, a folder gets a journal, so that a run of the same command and source goes on
  /// where an earlier one was cut, and a manifest that repeats it. Null: neither.
  Json command = nullptr;
};

/// The file of a folder that states the content hash of every stored tensor.
inline constexpr std::string_view kManifestFileName = "nibble-manifest.json";

/// The dialects that hold quantized matrices and can be written, for messages and --help. "hf" can
/// be written, too, where nothing is quantized.
std::vector<std::string_view> writable_dialects();

/// Why a dialect cannot hold such matrices; empty where it can, and for dialects that do not exist.
std::string dialect_refusal(std::string_view dialect, WeightTarget target, bool has_input_scale);

/// What the columns of an NVFP4 matrix must be a multiple of: a block, four of them in GGUF.
constexpr uint64_t nvfp4_column_multiple(std::string_view dialect) {
  return dialect == "gguf" ? 64 : 16;
}

/// Whether a dialect has a place for the scales of an FP8 key/value cache.
bool dialect_holds_cache_scales(std::string_view dialect);

/// Streams tensors into `DST.partial` and renames it to DST in finish(). Headers are written first:
/// the plan fixes every name, shape and offset. Not thread safe. If the object dies before
/// finish(), DST.partial is removed, unless keep_partial() was called or the disk was full. A run
/// of the same command goes on with a DST.partial that was left behind, whatever moment it was cut
/// at; a run of another one empties it. An existing DST (with `force`) stays as it is until the new
/// one is whole.
///
/// Tensors are named as in the source, prefix included. The folder holds the shards, config.json
/// with every field of the source and the dialect's description, and every other file of the source
/// but weights in other containers and other descriptions of quantization. Where the source is a
/// GGUF file, names and values become those of a folder: heads grouped, norms without the 1 added.
///
/// With the dialect "gguf" the output is one file: DST must end in ".gguf", plan() lacks what such
/// files do not hold (the vision tower), and matrices in FP8 are refused.
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

  /// The plan in the order in which the tensors must be written, without what is left out.
  virtual std::span<const PlannedTensor> plan() const = 0;

  /// Bytes that all tensors will take, and how many were written.
  virtual uint64_t total_bytes() const = 0;
  virtual uint64_t n_written_bytes() const = 0;

  /// The first tensors of the plan that an earlier run of the same command wrote and that were read
  /// back and found whole; writing begins behind them.
  virtual std::span<const FinishedTensor> taken_over() const { return {}; }

  /// What will be noted of the next tensor when it is complete. Call before its last bytes.
  virtual void annotate(const TensorNote& /*note*/) {}

  /// Passes the next tensor of the plan through, byte for byte.
  virtual Status write_source() = 0;
  /// True where kept plain tensors may come in pieces.
  virtual bool takes_pieces() const { return false; }
  /// Appends bytes to the next tensor of the plan, which is kept and plain in the source: for
  /// callers that look at its values, or change them, on the way. Moves on when it is full.
  virtual Status write_piece(std::span<const std::byte> bytes);
  /// Writes the next tensor of the plan in NVFP4. Its shape and the presence of an input scale must
  /// be those of the plan (CHECK). Errors also: kInvalidArgument (compressed-tensors: a tensor
  /// scale that is not the reciprocal of its reciprocal), kNotFinite.
  virtual Status write_nvfp4(const QuantizedMatrixView& matrix) = 0;

  /// The same in FP8, with one scale or one a row as planned. Scales must be finite and above 0.
  virtual Status write_fp8(const Fp8MatrixView& matrix);

  /// Writes index, config with the dialect's description, and every other file of the source folder
  /// byte for byte; syncs; renames. Only after the last tensor.
  virtual Status finish() = 0;

  /// Leaves DST.partial in place when the object dies (interrupted or out of space).
  virtual void keep_partial() = 0;
  virtual const std::string& partial_folder() const = 0;
};

}  // namespace nibble

// What a dialect is: a way in which some tool names, inverts and describes quantized weights.
//
// open.cpp holds the list of all dialects; nothing outside a dialect's own file knows its names.
#pragma once

#include <compare>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/storage/stored_folder.h"
#include "checkpoint/writer.h"
#include "core/json.h"
#include "core/result.h"
#include "formats/safetensors.h"

namespace nibble {

/// A tensor in the canonical view and where its bytes lie.
struct CanonicalTensor {
  TensorInfo info;
  StoredTensor data;    ///< the elements, or the codes of a quantized matrix
  StoredTensor scales;  ///< block scales of a quantized matrix
  float tensor_scale = 1.0f;
  std::vector<float> fp8_scales;  ///< of an FP8 matrix: one, or one a row
  std::optional<float> input_scale;
  ScaleDivisors divisors = {};
};

/// How an output stores a matrix.
struct StoredAs {
  WeightTarget kind = WeightTarget::kKeep;  ///< kKeep: plain elements
  bool has_input_scale = false;

  auto operator<=>(const StoredAs&) const = default;
  bool is_quantized() const { return kind != WeightTarget::kKeep; }
};

/// A module of the output, for the description.
struct OutputModule {
  std::string name;  ///< stored name without ".weight"
  StoredAs stored;
  bool linear_like = false;  ///< a weight of at least two dimensions
};

/// What the description of an output folder is made from.
struct OutputSummary {
  std::vector<OutputModule> modules;  ///< every tensor that ends in ".weight", in order
  bool has_fp8_cache = false;         ///< scales of an FP8 key/value cache are stored

  /// How the quantized modules are stored, without duplicates, in the order of appearance.
  std::vector<StoredAs> kinds() const;
};

/// The bytes of one part of a quantized matrix: borrowed from the matrix, or a scalar of its own.
struct EncodedPart {
  std::span<const std::byte> borrowed;
  std::vector<std::byte> scalar;

  std::span<const std::byte> bytes() const { return scalar.empty() ? borrowed : scalar; }
};

/// One dialect. Functions that it cannot offer are null.
struct Dialect {
  std::string_view name;

  /// True where the folder's description is of this dialect (also of a kind that it cannot read).
  bool (*recognises)(const StoredFolder& folder);

  /// All tensors in the canonical view, in the order of shards and offsets, completeness and
  /// scalars checked; names are made canonical by the caller.
  Result<std::vector<CanonicalTensor>> (*read)(const StoredFolder& folder);

  /// Why a quantized matrix cannot be stored so; empty where it can.
  std::string (*refusal)(StoredAs stored);
  /// The stored tensors of a quantized matrix [rows, cols] of a module.
  std::vector<SafetensorsDeclaration> (*declare)(const std::string& module, StoredAs stored,
                                                 uint64_t rows, uint64_t cols);
  /// Their bytes, in the order of declare(), borrowed from the matrix. Errors: kInvalidArgument (a
  /// scale that the dialect cannot hold exactly).
  Result<std::vector<EncodedPart>> (*encode)(const QuantizedMatrixView& matrix);
  Result<std::vector<EncodedPart>> (*encode_fp8)(const Fp8MatrixView& matrix);
  /// The stored F32 tensor that holds the scale of cached keys (module "X.k_proj") or values
  /// ("X.v_proj").
  SafetensorsDeclaration (*declare_cache_scale)(const std::string& module);
  /// Puts the description into the config and returns further files as (name, content).
  std::vector<std::pair<std::string, std::string>> (*describe)(const OutputSummary& summary,
                                                               Json& config);
};

/// A tensor that passes into the canonical view as it is.
CanonicalTensor plain_tensor(const StoredFolder& folder, StoredTensor stored);

extern const Dialect kPlainHfDialect;
extern const Dialect kCompressedTensorsDialect;
extern const Dialect kModelOptDialect;
extern const Dialect kAutoRoundDialect;

/// Every dialect, in the order in which they are asked; the last one takes what nobody else wants.
std::span<const Dialect* const> dialects();

/// What nibble reads, for messages about anything else.
std::string supported_storage_text();

}  // namespace nibble

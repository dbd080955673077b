// What GGUF files call the tensors of this family, and how their values differ there.
//
// Names here are the canonical ones of checkpoint.h. In a GGUF file the blocks of the multi-token
// prediction layer follow those of the text model: "mtp.layers.0.x" stands in block n_layers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace nibble {

/// How a stored value follows from the canonical one.
enum class GgufValues : uint8_t {
  kSame,
  kPlusOne,      ///< 1 + w, for the norms that the model applies that way
  kMinusExp,     ///< -exp(A_log)
  kOneAxisLess,  ///< the same values without the axis of size 1 (conv1d, the shared expert's gate)
};

/// Which number types writers of GGUF may choose for a tensor.
enum class GgufKind : uint8_t {
  kMatrix,  ///< any; quantized ones may have a ".scale" beside them
  kSmall,   ///< F32
};

/// Where a tensor stands.
enum class GgufPlace : uint8_t {
  kModel,    ///< once; both names are whole
  kBlock,    ///< "layers.N." or "mtp.layers.K." before `name`, "blk.N." before `gguf_name`
  kMtp,      ///< "mtp." before `name`, "blk.<n_layers>." before `gguf_name`
  kExperts,  ///< as kBlock, with "mlp.experts.E." before `name`; one GGUF tensor stacks all E
};

/// One kind of tensor.
struct GgufNameRow {
  GgufPlace place;
  std::string_view name;       ///< "mlp.gate_proj.weight"
  std::string_view gguf_name;  ///< "ffn_gate.weight"
  GgufKind kind = GgufKind::kMatrix;
  GgufValues values = GgufValues::kSame;
};

/// Every kind of tensor, in the order in which a layer is computed.
std::span<const GgufNameRow> gguf_name_rows();

/// A tensor found by one of its names.
struct GgufPlacedName {
  const GgufNameRow* row = nullptr;
  std::optional<uint64_t> block;   ///< N of "blk.N."
  std::optional<uint64_t> expert;  ///< of a canonical name of a kExperts row

  /// "blk.3.ffn_gate.weight".
  std::string gguf_name() const;
  /// "layers.3.mlp.gate_proj.weight"; `expert` must be set where the row is of kExperts.
  std::string canonical_name(uint64_t n_layers) const;
};

/// Looks a canonical name up ("layers.3.mlp.gate_proj.weight"). Nothing for tensors that GGUF
/// files do not hold (the vision tower, fused experts).
std::optional<GgufPlacedName> place_canonical_name(std::string_view name, uint64_t n_layers);

/// Looks a name of a GGUF file up ("blk.3.ffn_gate.weight"). Nothing for unknown names.
std::optional<GgufPlacedName> place_gguf_name(std::string_view gguf_name);

/// The name of the tensor that holds the tensor scale of a quantized matrix: "X.weight" gives
/// "X.scale".
std::string gguf_scale_name(std::string_view gguf_name);
/// The same for its static activation scale: "X.input_scale".
std::string gguf_input_scale_name(std::string_view gguf_name);

}  // namespace nibble

#include "checkpoint/gguf/tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <utility>

#include "checkpoint/gguf/names.h"
#include "checkpoint/storage/problem_list.h"
#include "core/bytes.h"

namespace nibble {
namespace {

// Norms and the like; the widest of any member is far below.
constexpr uint64_t kMaxSmallElements = uint64_t{1} << 24;

struct ElementType {
  GgufType type;
  Storage storage;
  DType dtype;
  BlockKind block_kind;
};
constexpr std::array<ElementType, 14> kElementTypes = {{
    {GgufType::kF32, Storage::kPlain, DType::kF32, {}},
    {GgufType::kF16, Storage::kPlain, DType::kF16, {}},
    {GgufType::kBF16, Storage::kPlain, DType::kBF16, {}},
    {GgufType::kF64, Storage::kPlain, DType::kF64, {}},
    {GgufType::kI8, Storage::kPlain, DType::kI8, {}},
    {GgufType::kI16, Storage::kPlain, DType::kI16, {}},
    {GgufType::kI32, Storage::kPlain, DType::kI32, {}},
    {GgufType::kI64, Storage::kPlain, DType::kI64, {}},
    {GgufType::kQ4_0, Storage::kBlocks, DType::kU8, BlockKind::kQ4_0},
    {GgufType::kQ8_0, Storage::kBlocks, DType::kU8, BlockKind::kQ8_0},
    {GgufType::kQ4K, Storage::kBlocks, DType::kU8, BlockKind::kQ4K},
    {GgufType::kQ5K, Storage::kBlocks, DType::kU8, BlockKind::kQ5K},
    {GgufType::kQ6K, Storage::kBlocks, DType::kU8, BlockKind::kQ6K},
    {GgufType::kNvfp4, Storage::kBlocks, DType::kU8, BlockKind::kNvfp4},
}};

const ElementType& element_type(GgufType type) {
  const auto* at = std::find_if(kElementTypes.begin(), kElementTypes.end(),
                                [&](const ElementType& row) { return row.type == type; });
  CHECK(at != kElementTypes.end());
  return *at;
}

// Part of a stored tensor as a matrix of its own.
struct Piece {
  std::string name;
  uint64_t n_rows = 0;
  size_t scale = 0;  // which of the tensor's scales is its own
};

// Quantized tensors are matrices; anything else that is quantized is small enough to decode.
bool must_decode(const GgufTensor& tensor, const GgufPlacedName* placed) {
  const bool has_blocks = element_type(tensor.type).storage == Storage::kBlocks;
  if (placed == nullptr || placed->row->kind == GgufKind::kMatrix) {
    return has_blocks && tensor.shape.size() < 2;
  }
  const GgufValues values = placed->row->values;
  return has_blocks || values == GgufValues::kPlusOne || values == GgufValues::kMinusExp;
}

// The canonical shape of a tensor that may lack an axis of size 1 in the file: conv1d is
// [channels, 1, taps], the shared expert's gate one row.
Shape with_axis(const GgufTensor& tensor, GgufValues values) {
  Shape shape = tensor.shape;
  if (values != GgufValues::kOneAxisLess) return shape;
  if (shape.size() == 1) {
    shape.insert(shape.begin(), 1);
  } else if (shape.size() == 2 && shape[0] != 1) {
    shape.insert(shape.begin() + 1, 1);
  }
  return shape;
}

// The canonical value of a stored one; NaN where there is none.
float canonical_value(float stored, GgufValues values) {
  switch (values) {
    case GgufValues::kPlusOne:
      return stored - 1.0f;
    case GgufValues::kMinusExp:
      return stored < 0.0f ? std::log(-stored) : std::nanf("");
    case GgufValues::kSame:
    case GgufValues::kOneAxisLess:
      break;
  }
  return stored;
}

class TensorReader {
 public:
  TensorReader(std::span<const GgufFile> files, const GgufModelSizes& sizes)
      : files_(files), sizes_(sizes) {}

  Result<std::vector<GgufCanonicalTensor>> read();

 private:
  void read_tensor(const GgufTensor& tensor);
  void add_whole(const GgufTensor& tensor, std::string name, const GgufPlacedName* placed);
  void add_decoded(const GgufTensor& tensor, GgufCanonicalTensor described, GgufValues values);
  void add_pieces(const GgufTensor& tensor, const std::vector<Piece>& pieces, size_t n_scales);

  std::optional<std::vector<Piece>> attention_pieces(const GgufPlacedName& placed) const;
  std::optional<std::vector<Piece>> expert_pieces(const GgufTensor& tensor) const;

  MatrixSource source(const GgufTensor& tensor, const Shape& shape) const;
  bool read_scales(const GgufTensor& tensor, size_t n_scales, std::vector<float>& scales);
  bool read_input_scales(const GgufTensor& tensor, size_t n_scales,
                         std::vector<std::optional<float>>& scales);
  bool is_scale(const GgufTensor& tensor) const;
  void problem(const GgufTensor& tensor, std::string_view what) {
    problems_.add(fmt::format("{} {} {}", tensor.name, shape_text(tensor.shape), what));
  }

  struct Place {
    size_t file;
    const GgufTensor* tensor;
  };
  std::span<const std::byte> bytes(const GgufTensor& tensor) const {
    return files_[stored_.at(tensor.name).file].bytes(tensor);
  }
  // What all views of a stored tensor share.
  GgufCanonicalTensor described(const GgufTensor& tensor, std::string name) const;

  std::span<const GgufFile> files_;
  const GgufModelSizes& sizes_;
  std::unordered_map<std::string_view, Place> stored_;
  std::vector<GgufCanonicalTensor> tensors_;
  ProblemList problems_;
};

Result<std::vector<GgufCanonicalTensor>> TensorReader::read() {
  for (size_t file = 0; file < files_.size(); ++file) {
    for (const GgufTensor& tensor : files_[file].header().tensors) {
      const bool is_new = stored_.emplace(tensor.name, Place{file, &tensor}).second;
      if (!is_new) problem(tensor, "stands in two files");
    }
  }
  for (const GgufFile& file : files_) {
    std::vector<const GgufTensor*> in_order;
    in_order.reserve(file.header().tensors.size());
    for (const GgufTensor& tensor : file.header().tensors) in_order.push_back(&tensor);
    std::stable_sort(
        in_order.begin(), in_order.end(),
        [](const GgufTensor* a, const GgufTensor* b) { return a->offset < b->offset; });
    for (const GgufTensor* tensor : in_order) {
      if (!is_scale(*tensor)) read_tensor(*tensor);
    }
  }
  if (problems_.empty()) return std::move(tensors_);
  return Error(ErrorCode::kCorrupt,
               fmt::format("has {} tensors that do not fit the model: {}", problems_.size(),
                           problems_.text()),
               files_.front().file().path());
}

// Whether it is the scale of a weight that is there, which is read with that weight.
bool TensorReader::is_scale(const GgufTensor& tensor) const {
  for (const std::string_view ending : {".input_scale", ".scale"}) {
    std::string_view name = tensor.name;
    if (!name.ends_with(ending)) continue;
    name.remove_suffix(ending.size());
    return stored_.count(fmt::format("{}.weight", name)) != 0;
  }
  return false;
}

void TensorReader::read_tensor(const GgufTensor& tensor) {
  if (n_elements(tensor.shape) == uint64_t{0}) return problem(tensor, "is empty");
  if (const auto pieces = expert_pieces(tensor)) {
    return add_pieces(tensor, *pieces, sizes_.n_experts);
  }
  auto placed = place_gguf_name(tensor.name);
  if (placed && placed->block && *placed->block >= sizes_.n_blocks()) placed.reset();
  if (placed && placed->row->place == GgufPlace::kMtp && *placed->block != sizes_.n_layers) {
    placed.reset();
  }
  if (placed) {
    if (placed->row->place == GgufPlace::kExperts) {
      return problem(tensor, fmt::format("should stack {} experts", sizes_.n_experts));
    }
    if (const auto pieces = attention_pieces(*placed)) return add_pieces(tensor, *pieces, 1);
    return add_whole(tensor, placed->canonical_name(sizes_.n_layers), &*placed);
  }
  // Further tensors of the prediction layer belong to it, whoever wrote them; the rest is for the
  // model's table of tensors to judge.
  const std::string mtp_prefix = fmt::format("blk.{}.nextn.", sizes_.n_layers);
  std::string name = tensor.name;
  if (sizes_.n_mtp_layers > 0 && name.starts_with(mtp_prefix)) {
    name = "mtp." + name.substr(mtp_prefix.size());
  }
  add_whole(tensor, std::move(name), nullptr);
}

// Query, key and value of an attention layer in one tensor, under the name that DeltaNet layers
// use; nothing for other tensors.
std::optional<std::vector<Piece>> TensorReader::attention_pieces(
    const GgufPlacedName& placed) const {
  if (placed.row->gguf_name != "attn_qkv.weight") return std::nullopt;
  if (*placed.block < sizes_.n_layers && sizes_.is_recurrent[*placed.block]) return std::nullopt;
  std::vector<Piece> pieces;
  pieces.reserve(3);
  for (const std::string_view part : {"attn_q.weight", "attn_k.weight", "attn_v.weight"}) {
    const auto place = place_gguf_name(fmt::format("blk.{}.{}", *placed.block, part));
    // Each query head is followed by its output gate.
    const uint64_t n_heads = part == "attn_q.weight" ? 2 * sizes_.n_heads : sizes_.n_kv_heads;
    pieces.push_back({place->canonical_name(sizes_.n_layers), n_heads * sizes_.head_dim, 0});
  }
  return pieces;
}

// The matrices of all experts, which the file stacks in one tensor, gate and up of an expert
// possibly one after the other; nothing for other tensors.
std::optional<std::vector<Piece>> TensorReader::expert_pieces(const GgufTensor& tensor) const {
  constexpr std::string_view kFused = ".ffn_gate_up_exps.weight";
  std::vector<GgufPlacedName> parts;
  const auto add_part = [&](const std::string& name) {
    const auto placed = place_gguf_name(name);
    if (placed && placed->row->place == GgufPlace::kExperts) parts.push_back(*placed);
  };
  if (std::string_view(tensor.name).ends_with(kFused)) {
    const std::string block = tensor.name.substr(0, tensor.name.size() - kFused.size());
    add_part(block + ".ffn_gate_exps.weight");
    add_part(block + ".ffn_up_exps.weight");
  } else {
    add_part(tensor.name);
  }
  if (parts.empty() || *parts[0].block >= sizes_.n_blocks() || sizes_.n_experts == 0 ||
      tensor.shape.size() != 3 || tensor.shape[0] != sizes_.n_experts ||
      tensor.shape[1] % parts.size() != 0) {
    return std::nullopt;
  }
  std::vector<Piece> pieces;
  pieces.reserve(sizes_.n_experts * parts.size());
  for (uint64_t expert = 0; expert < sizes_.n_experts; ++expert) {
    for (GgufPlacedName& part : parts) {
      part.expert = expert;
      pieces.push_back(
          {part.canonical_name(sizes_.n_layers), tensor.shape[1] / parts.size(), expert});
    }
  }
  return pieces;
}

// The whole tensor with the canonical shape and without scales.
MatrixSource TensorReader::source(const GgufTensor& tensor, const Shape& shape) const {
  const ElementType& type = element_type(tensor.type);
  if (type.storage == Storage::kPlain) return TensorView{type.dtype, shape, bytes(tensor)};
  uint64_t rows = 1;
  for (size_t axis = 0; axis + 1 < shape.size(); ++axis) rows *= shape[axis];
  return BlockMatrixView{rows, shape.back(), type.block_kind, bytes(tensor), 1.0f};
}

// The tensor scales beside a weight; ones where there are none. False after a problem.
bool TensorReader::read_scales(const GgufTensor& tensor, size_t n_scales,
                               std::vector<float>& scales) {
  scales.assign(n_scales, 1.0f);
  const auto at = stored_.find(gguf_scale_name(tensor.name));
  if (at == stored_.end()) return true;
  const GgufTensor& stored = *at->second.tensor;
  if (stored.type != GgufType::kF32 || n_elements(stored.shape) != uint64_t{n_scales}) {
    problem(stored, fmt::format("should be {} F32 scales of {}", n_scales, tensor.name));
    return false;
  }
  for (size_t i = 0; i < n_scales; ++i) {
    scales[i] = load_le<float>(bytes(stored).data() + i * sizeof(float));
    const bool is_used = tensor.type == GgufType::kNvfp4 || scales[i] == 1.0f;
    if (is_used && std::isfinite(scales[i]) && scales[i] > 0.0f) continue;
    problem(stored, fmt::format("holds {}; expected {}", scales[i],
                                is_used ? "a finite number above 0"
                                        : "1, because only NVFP4 has tensor scales"));
    return false;
  }
  return true;
}

// The static activation scales beside a weight of NVFP4, or none. False after a problem.
bool TensorReader::read_input_scales(const GgufTensor& tensor, size_t n_scales,
                                     std::vector<std::optional<float>>& scales) {
  scales.assign(n_scales, std::nullopt);
  const auto at = stored_.find(gguf_input_scale_name(tensor.name));
  if (at == stored_.end() || tensor.type != GgufType::kNvfp4) return true;
  const GgufTensor& stored = *at->second.tensor;
  if (stored.type != GgufType::kF32 || n_elements(stored.shape) != uint64_t{n_scales}) {
    problem(stored, fmt::format("should be {} F32 scales for {}", n_scales, tensor.name));
    return false;
  }
  for (size_t i = 0; i < n_scales; ++i) {
    const auto scale = load_le<float>(bytes(stored).data() + i * sizeof(float));
    if (!std::isfinite(scale) || scale <= 0.0f) {
      problem(stored, fmt::format("holds {}; expected a finite number above 0", scale));
      return false;
    }
    scales[i] = scale;
  }
  return true;
}

GgufCanonicalTensor TensorReader::described(const GgufTensor& tensor, std::string name) const {
  const ElementType& type = element_type(tensor.type);
  GgufCanonicalTensor described;
  described.info.name = std::move(name);
  described.info.stored_name = tensor.name;
  described.info.storage = type.storage;
  described.info.dtype = type.dtype;
  described.info.block_kind = type.block_kind;
  described.info.shape = tensor.shape;
  described.info.n_bytes = tensor.n_bytes;
  described.bytes = bytes(tensor);
  described.file = stored_.at(tensor.name).file;
  return described;
}

void TensorReader::add_whole(const GgufTensor& tensor, std::string name,
                             const GgufPlacedName* placed) {
  const GgufValues values = placed == nullptr ? GgufValues::kSame : placed->row->values;
  GgufCanonicalTensor whole = described(tensor, std::move(name));
  whole.info.shape = with_axis(tensor, values);
  if (must_decode(tensor, placed)) return add_decoded(tensor, std::move(whole), values);
  whole.source = source(tensor, whole.info.shape);
  std::vector<float> scales;
  std::vector<std::optional<float>> input_scales;
  if (!read_scales(tensor, 1, scales) || !read_input_scales(tensor, 1, input_scales)) return;
  if (auto* blocks = std::get_if<BlockMatrixView>(&whole.source)) {
    blocks->tensor_scale = scales[0];
    blocks->input_scale = input_scales[0];
  }
  tensors_.push_back(std::move(whole));
}

void TensorReader::add_decoded(const GgufTensor& tensor, GgufCanonicalTensor described,
                               GgufValues values) {
  const auto n = *n_elements(tensor.shape);
  if (n > kMaxSmallElements) return problem(tensor, "is too large for a tensor of its kind");
  described.values = std::make_unique<float[]>(n);
  const std::span<float> decoded(described.values.get(), n);
  const MatrixSource stored = source(tensor, {1, n});
  if (const Status status = decode_rows(stored, 0, 1, decoded); !status) {
    return problem(tensor, status.error().message);
  }
  for (float& value : decoded) {
    const float canonical = canonical_value(value, values);
    if (std::isnan(canonical) && !std::isnan(value)) {
      return problem(tensor, fmt::format("holds {}; expected numbers below 0", value));
    }
    value = canonical;
  }
  described.info.storage = Storage::kPlain;
  described.info.dtype = DType::kF32;
  described.source = TensorView{DType::kF32, described.info.shape, std::as_bytes(decoded)};
  tensors_.push_back(std::move(described));
}

// Cuts a stored tensor by rows.
void TensorReader::add_pieces(const GgufTensor& tensor, const std::vector<Piece>& pieces,
                              size_t n_scales) {
  if (tensor.shape.size() < 2) return problem(tensor, "should be a matrix");
  const MatrixSource whole = source(tensor, tensor.shape);
  uint64_t n_rows = 0;
  for (const Piece& piece : pieces) n_rows += piece.n_rows;
  if (n_rows != matrix_rows(whole)) {
    return problem(tensor, fmt::format("should have {} rows", n_rows));
  }
  std::vector<float> scales;
  std::vector<std::optional<float>> input_scales;
  if (!read_scales(tensor, n_scales, scales) ||
      !read_input_scales(tensor, n_scales, input_scales)) {
    return;
  }
  uint64_t first_row = 0;
  const uint64_t row_bytes = tensor.n_bytes / n_rows;
  tensors_.reserve(tensors_.size() + pieces.size());
  for (const Piece& piece : pieces) {
    GgufCanonicalTensor part = described(tensor, piece.name);
    part.info.shape = {piece.n_rows, tensor.shape.back()};
    part.info.n_bytes = piece.n_rows * row_bytes;
    part.bytes = part.bytes.subspan(first_row * row_bytes, part.info.n_bytes);
    part.source = slice_rows(whole, first_row, piece.n_rows);
    if (auto* blocks = std::get_if<BlockMatrixView>(&part.source)) {
      blocks->tensor_scale = scales[piece.scale];
      blocks->input_scale = input_scales[piece.scale];
    }
    tensors_.push_back(std::move(part));
    first_row += piece.n_rows;
  }
}

}  // namespace

Result<std::vector<GgufCanonicalTensor>> read_gguf_tensors(std::span<const GgufFile> files,
                                                           const GgufModelSizes& sizes) {
  return TensorReader(files, sizes).read();
}

}  // namespace nibble

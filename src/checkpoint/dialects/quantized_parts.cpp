#include "checkpoint/dialects/quantized_parts.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "checkpoint/storage/problem_list.h"
#include "core/bytes.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

constexpr std::string_view kWeight = ".weight";

// The tensors found beside the elements of one module.
struct Parts {
  StoredTensor scales;
  StoredTensor tensor_scale;
  StoredTensor input_scale;
  StoredTensor fp8_input_scale;
  bool has_elements = false;
};

// Assembles the matrices of one folder.
class Assembler {
 public:
  Assembler(const StoredFolder& folder, const QuantizedPartNames& names)
      : folder_(folder), names_(names) {}

  Result<std::vector<CanonicalTensor>> run() {
    for_each([&](std::string_view, StoredTensor stored) { collect(stored); });
    for_each([&](std::string_view name, StoredTensor stored) { emit(name, stored); });
    report_orphans();
    if (!problems_.empty()) {
      return Error(ErrorCode::kCorrupt,
                   fmt::format("{} tensors cannot be read as NVFP4 or FP8: {}", problems_.size(),
                               problems_.text()),
                   folder_.path);
    }
    return std::move(tensors_);
  }

 private:
  enum class Elements { kNone, kNvfp4, kFp8 };

  template <typename Visit>
  void for_each(Visit visit) {
    for (size_t s = 0; s < folder_.shards.size(); ++s) {
      for (const SafetensorsEntry& entry : folder_.shards[s].file.header().entries) {
        visit(entry.name, StoredTensor{s, &entry});
      }
    }
  }

  // The member of Parts that a name belongs to, and its module; nothing for other tensors.
  StoredTensor Parts::*part_of(std::string_view name, std::string_view& module) const {
    const std::array<std::pair<std::string_view, StoredTensor Parts::*>, 4> endings = {{
        {names_.scales, &Parts::scales},
        {names_.tensor_scale, &Parts::tensor_scale},
        {names_.input_scale, &Parts::input_scale},
        {names_.fp8_input_scale, &Parts::fp8_input_scale},
    }};
    for (const auto& [ending, member] : endings) {
      if (!name.ends_with(ending)) continue;
      module = name.substr(0, name.size() - ending.size());
      return member;
    }
    return nullptr;
  }

  void collect(StoredTensor stored) {
    std::string_view module;
    if (const auto member = part_of(stored.entry->name, module)) {
      parts_[module].*member = stored;
    }
  }

  // Which elements a tensor holds, by its name and type, and of which module.
  Elements elements_of(std::string_view name, const SafetensorsEntry& entry,
                       std::string_view& module) const {
    if (name.ends_with(kWeight) && entry.dtype == DType::kF8E4M3) {
      module = name.substr(0, name.size() - kWeight.size());
      return Elements::kFp8;
    }
    if (!name.ends_with(names_.codes)) return Elements::kNone;
    module = name.substr(0, name.size() - names_.codes.size());
    const bool is_codes =
        names_.codes != kWeight || entry.dtype == DType::kU8 || parts_.count(module) != 0;
    return is_codes ? Elements::kNvfp4 : Elements::kNone;
  }

  void emit(std::string_view name, StoredTensor stored) {
    for (const std::string_view ending : names_.unsupported) {
      if (!name.ends_with(ending)) continue;
      problems_.add(fmt::format("{} belongs to a number format that is not supported", name));
      return;
    }
    std::string_view module;
    const Elements elements = elements_of(name, *stored.entry, module);
    if (elements != Elements::kNone) {
      Parts& parts = parts_[module];
      parts.has_elements = true;
      if (elements == Elements::kFp8) {
        emit_fp8(module, parts, stored);
      } else {
        emit_nvfp4(module, parts, stored);
      }
      return;
    }
    if (part_of(name, module) != nullptr) return;
    if (name.ends_with(kWeight)) check_plain_weight(name, *stored.entry);
    tensors_.push_back(plain_tensor(folder_, stored));
  }

  void check_plain_weight(std::string_view name, const SafetensorsEntry& entry) {
    if (dtype_bytes(entry.dtype) == 1 || !is_floating(entry.dtype)) {
      problems_.add(
          fmt::format("{} is stored as {}, which is neither NVFP4, FP8 (E4M3), BF16, F16 nor F32",
                      name, dtype_name(entry.dtype)));
    } else if (parts_.count(name.substr(0, name.size() - kWeight.size())) != 0) {
      problems_.add(
          fmt::format("{} is stored as {}, but scales of a quantized matrix stand beside "
                      "it",
                      name, dtype_name(entry.dtype)));
    }
  }

  // What both kinds of matrices have in common.
  CanonicalTensor matrix_tensor(std::string_view module, StoredTensor data, StoredTensor scales) {
    CanonicalTensor tensor;
    tensor.info.stored_name = fmt::format("{}{}", module, kWeight);
    tensor.info.shard = folder_.shards[data.shard].name;
    tensor.info.shape = data.entry->shape;
    tensor.info.n_bytes = data.entry->n_bytes + scales.entry->n_bytes;
    tensor.data = data;
    tensor.scales = scales;
    return tensor;
  }

  void emit_nvfp4(std::string_view module, const Parts& parts, StoredTensor codes) {
    const SafetensorsEntry& entry = *codes.entry;
    if (entry.dtype != DType::kU8 || entry.shape.size() != 2 || entry.shape[0] == 0 ||
        entry.shape[1] == 0 || entry.shape[1] % kNvfp4BlockBytes != 0) {
      problems_.add(
          fmt::format("{} is {} {}; packed codes must be U8 [rows, cols / 2] with cols a "
                      "multiple of 16",
                      entry.name, dtype_name(entry.dtype), shape_text(entry.shape)));
      return;
    }
    std::string missing;
    if (parts.scales.entry == nullptr) missing += fmt::format(" {}", names_.scales);
    if (parts.tensor_scale.entry == nullptr) missing += fmt::format(" {}", names_.tensor_scale);
    if (!missing.empty()) {
      problems_.add(fmt::format("{} lacks{}", module, missing));
      return;
    }
    const Shape shape = {entry.shape[0], entry.shape[1] * 2};
    const SafetensorsEntry& scales = *parts.scales.entry;
    const Shape expected = {shape[0], shape[1] / kNvfp4BlockSize};
    if (scales.dtype != DType::kF8E4M3 || scales.shape != expected) {
      problems_.add(fmt::format("{} is {} {}, F8_E4M3 {} was expected", scales.name,
                                dtype_name(scales.dtype), shape_text(scales.shape),
                                shape_text(expected)));
      return;
    }
    CanonicalTensor tensor = matrix_tensor(module, codes, parts.scales);
    tensor.info.storage = Storage::kNvfp4;
    tensor.info.dtype = DType::kU8;
    tensor.info.shape = shape;
    tensor.info.n_bytes += parts.tensor_scale.entry->n_bytes;
    const bool inverted = names_.nvfp4_scalars_are_divisors;
    const auto scale = read_scalar(parts.tensor_scale, inverted, &tensor.divisors.tensor);
    if (scale) tensor.tensor_scale = *scale;
    if (read_input_scale(parts.input_scale, inverted, tensor) && scale) {
      tensors_.push_back(std::move(tensor));
    }
  }

  void emit_fp8(std::string_view module, const Parts& parts, StoredTensor codes) {
    const SafetensorsEntry& entry = *codes.entry;
    if (parts.scales.entry == nullptr) {
      problems_.add(fmt::format("{} lacks {}", module, names_.scales));
      return;
    }
    if (parts.tensor_scale.entry != nullptr) {
      problems_.add(fmt::format("{} is F8_E4M3, but {} of NVFP4 stands beside it", entry.name,
                                names_.tensor_scale));
      return;
    }
    if (entry.shape.size() != 2 || entry.shape[0] == 0 || entry.shape[1] == 0) {
      problems_.add(fmt::format("{} is F8_E4M3 {}; a matrix [rows, cols] was expected", entry.name,
                                shape_text(entry.shape)));
      return;
    }
    CanonicalTensor tensor = matrix_tensor(module, codes, parts.scales);
    tensor.info.storage = Storage::kFp8;
    tensor.info.dtype = DType::kF8E4M3;
    const bool scales_are_good = read_fp8_scales(parts.scales, entry.shape[0], tensor.fp8_scales);
    const StoredTensor& input =
        parts.fp8_input_scale.entry != nullptr ? parts.fp8_input_scale : parts.input_scale;
    if (read_input_scale(input, false, tensor) && scales_are_good) {
      tensors_.push_back(std::move(tensor));
    }
  }

  // One scale, or one for each row; false after a problem was noted.
  bool read_fp8_scales(StoredTensor stored, uint64_t rows, std::vector<float>& scales) {
    const SafetensorsEntry& entry = *stored.entry;
    const auto n = n_elements(entry.shape);
    const bool per_row = entry.shape == Shape{rows} || entry.shape == Shape{rows, 1};
    const bool one = n == 1 && entry.shape.size() <= 2;
    if ((!per_row && !one) || !is_floating(entry.dtype) || dtype_bytes(entry.dtype) == 1) {
      problems_.add(
          fmt::format("{} is {} {}; one float or one for each of {} rows was expected, "
                      "scales of smaller blocks are not supported",
                      entry.name, dtype_name(entry.dtype), shape_text(entry.shape), rows));
      return false;
    }
    scales.resize(*n);
    CHECK(to_f32(folder_.shards[stored.shard].file.view(entry), scales).has_value());
    for (size_t row = 0; row < scales.size(); ++row) {
      if (scales[row] > 0.0f && std::isfinite(scales[row])) continue;
      const std::string where = one ? std::string() : fmt::format(" in row {}", row);
      problems_.add(fmt::format("{} is {}{}, a finite number above 0 was expected", entry.name,
                                scales[row], where));
      return false;
    }
    return true;
  }

  // Takes over an activation scale where there is one; false after a problem was noted.
  bool read_input_scale(StoredTensor stored, bool inverted, CanonicalTensor& tensor) {
    if (stored.entry == nullptr) return true;
    tensor.info.n_bytes += stored.entry->n_bytes;
    tensor.input_scale = read_scalar(stored, inverted, &tensor.divisors.input);
    return tensor.input_scale.has_value();
  }

  // The multiplier that a scalar means, or nothing after a problem was noted. `divisor` gets the
  // scalar where that is what it is.
  std::optional<float> read_scalar(StoredTensor stored, bool inverted, float* divisor) {
    const SafetensorsEntry& entry = *stored.entry;
    if (n_elements(entry.shape) != 1 || entry.shape.size() > 1 || !is_floating(entry.dtype) ||
        dtype_bytes(entry.dtype) == 1) {
      problems_.add(fmt::format("{} is {} {}, one float was expected", entry.name,
                                dtype_name(entry.dtype), shape_text(entry.shape)));
      return std::nullopt;
    }
    float value = 0.0f;
    const Status status =
        to_f32(folder_.shards[stored.shard].file.view(entry), std::span(&value, 1));
    const float scale = inverted ? 1.0f / value : value;
    if (!status || !(value > 0.0f) || !std::isfinite(value) || !std::isnormal(scale)) {
      problems_.add(
          fmt::format("{} is {}, a finite number above 0 was expected", entry.name, value));
      return std::nullopt;
    }
    if (inverted) *divisor = value;
    return scale;
  }

  void report_orphans() {
    for (const auto& [module, parts] : parts_) {
      if (parts.has_elements) continue;
      // A plain weight beside the scales was reported already, under its own name.
      problems_.add(fmt::format("{} has scales but no {}", module, names_.codes));
    }
  }

  const StoredFolder& folder_;
  const QuantizedPartNames& names_;
  std::unordered_map<std::string_view, Parts> parts_;
  std::vector<CanonicalTensor> tensors_;
  ProblemList problems_;
};

}  // namespace

Result<std::vector<CanonicalTensor>> read_quantized_tensors(const StoredFolder& folder,
                                                            const QuantizedPartNames& names) {
  return Assembler(folder, names).run();
}

EncodedPart scalar_part(float value) {
  EncodedPart part;
  part.scalar.resize(sizeof(float));
  store_le(part.scalar.data(), value);
  return part;
}

EncodedPart borrowed_part(std::span<const uint8_t> bytes) {
  EncodedPart part;
  part.borrowed = std::as_bytes(bytes);
  return part;
}

}  // namespace nibble

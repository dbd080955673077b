#include "checkpoint/dialects/nvfp4_parts.h"

#include <fmt/format.h>

#include <cmath>
#include <unordered_map>
#include <utility>

#include "checkpoint/storage/problem_list.h"
#include "core/bytes.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

constexpr std::string_view kWeight = ".weight";

// The scale tensors found for one module.
struct Parts {
  StoredTensor scales;
  StoredTensor tensor_scale;
  StoredTensor input_scale;
  bool has_codes = false;
};

// Assembles the matrices of one folder.
class Assembler {
 public:
  Assembler(const StoredFolder& folder, const Nvfp4PartNames& names)
      : folder_(folder), names_(names) {}

  Result<std::vector<CanonicalTensor>> run() {
    for_each([&](std::string_view, StoredTensor stored) { collect(stored); });
    for_each([&](std::string_view name, StoredTensor stored) { emit(name, stored); });
    report_orphans();
    if (!problems_.empty()) {
      return Error(
          ErrorCode::kCorrupt,
          fmt::format("{} tensors cannot be read as NVFP4: {}", problems_.size(), problems_.text()),
          folder_.path);
    }
    return std::move(tensors_);
  }

 private:
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
    const std::pair<std::string_view, StoredTensor Parts::*> endings[] = {
        {names_.scales, &Parts::scales},
        {names_.tensor_scale, &Parts::tensor_scale},
        {names_.input_scale, &Parts::input_scale},
    };
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

  bool is_codes(std::string_view name, const SafetensorsEntry& entry) const {
    if (!name.ends_with(names_.codes)) return false;
    if (names_.codes != kWeight) return true;
    return entry.dtype == DType::kU8 ||
           parts_.count(name.substr(0, name.size() - names_.codes.size())) != 0;
  }

  void emit(std::string_view name, StoredTensor stored) {
    for (const std::string_view ending : names_.unsupported) {
      if (!name.ends_with(ending)) continue;
      problems_.add(fmt::format("{} belongs to a number format that is not supported", name));
      return;
    }
    std::string_view module;
    if (is_codes(name, *stored.entry)) {
      module = name.substr(0, name.size() - names_.codes.size());
      parts_[module].has_codes = true;
      emit_matrix(module, stored);
      return;
    }
    if (part_of(name, module) != nullptr) return;
    if (name.ends_with(kWeight)) check_plain_weight(name, *stored.entry);
    tensors_.push_back(plain_tensor(folder_, stored));
  }

  void check_plain_weight(std::string_view name, const SafetensorsEntry& entry) {
    if (dtype_bytes(entry.dtype) == 1 || !is_floating(entry.dtype)) {
      problems_.add(fmt::format("{} is stored as {}, which is neither NVFP4 nor BF16, F16 or F32",
                                name, dtype_name(entry.dtype)));
    } else if (parts_.count(name.substr(0, name.size() - kWeight.size())) != 0) {
      problems_.add(fmt::format("{} is stored as {}, but scales of NVFP4 stand beside it", name,
                                dtype_name(entry.dtype)));
    }
  }

  void emit_matrix(std::string_view module, StoredTensor codes) {
    const Parts& parts = parts_[module];
    const SafetensorsEntry& entry = *codes.entry;
    std::string missing;
    if (parts.scales.entry == nullptr) missing += fmt::format(" {}", names_.scales);
    if (parts.tensor_scale.entry == nullptr) missing += fmt::format(" {}", names_.tensor_scale);
    if (!missing.empty()) {
      problems_.add(fmt::format("{} lacks{}", module, missing));
      return;
    }
    if (entry.dtype != DType::kU8 || entry.shape.size() != 2 || entry.shape[0] == 0 ||
        entry.shape[1] == 0 || entry.shape[1] % kNvfp4BlockBytes != 0) {
      problems_.add(
          fmt::format("{} is {} {}; packed codes must be U8 [rows, cols / 2] with cols a "
                      "multiple of 16",
                      entry.name, dtype_name(entry.dtype), shape_text(entry.shape)));
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
    CanonicalTensor tensor;
    tensor.info.stored_name = fmt::format("{}{}", module, kWeight);
    tensor.info.shard = folder_.shards[codes.shard].name;
    tensor.info.storage = Storage::kNvfp4;
    tensor.info.dtype = DType::kU8;
    tensor.info.shape = shape;
    tensor.info.n_bytes = entry.n_bytes + scales.n_bytes + parts.tensor_scale.entry->n_bytes;
    tensor.data = codes;
    tensor.scales = parts.scales;
    const auto scale = read_scalar(parts.tensor_scale);
    if (!scale) return;
    tensor.tensor_scale = *scale;
    if (parts.input_scale.entry != nullptr) {
      tensor.info.n_bytes += parts.input_scale.entry->n_bytes;
      tensor.input_scale = read_scalar(parts.input_scale);
      if (!tensor.input_scale) return;
    }
    tensors_.push_back(std::move(tensor));
  }

  // The multiplier that a scalar means, or nothing after a problem was noted.
  std::optional<float> read_scalar(StoredTensor stored) {
    const SafetensorsEntry& entry = *stored.entry;
    const bool one = entry.shape.empty() || (entry.shape.size() == 1 && entry.shape[0] == 1);
    if (!one || !is_floating(entry.dtype)) {
      problems_.add(fmt::format("{} is {} {}, one float was expected", entry.name,
                                dtype_name(entry.dtype), shape_text(entry.shape)));
      return std::nullopt;
    }
    float value = 0.0f;
    const Status status =
        to_f32(folder_.shards[stored.shard].file.view(entry), std::span(&value, 1));
    const float scale = names_.scalars_are_divisors ? 1.0f / value : value;
    if (!status || !(value > 0.0f) || !std::isfinite(value) || !std::isnormal(scale)) {
      problems_.add(
          fmt::format("{} is {}, a finite number above 0 was expected", entry.name, value));
      return std::nullopt;
    }
    return scale;
  }

  void report_orphans() {
    for (const auto& [module, parts] : parts_) {
      if (parts.has_codes) continue;
      // A plain weight beside the scales was reported already, under its own name.
      problems_.add(fmt::format("{} has scales but no {}", module, names_.codes));
    }
  }

  const StoredFolder& folder_;
  const Nvfp4PartNames& names_;
  std::unordered_map<std::string_view, Parts> parts_;
  std::vector<CanonicalTensor> tensors_;
  ProblemList problems_;
};

}  // namespace

Result<std::vector<CanonicalTensor>> read_nvfp4_tensors(const StoredFolder& folder,
                                                        const Nvfp4PartNames& names) {
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

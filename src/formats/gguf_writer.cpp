#include <fmt/format.h>

#include <array>

#include "formats/gguf.h"

namespace nibble {
namespace {

constexpr uint64_t kAlignment = 32;

constexpr uint64_t align_up(uint64_t value) {
  return (value + kAlignment - 1) / kAlignment * kAlignment;
}

template <typename T>
void append_scalar(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    append_scalar<uint64_t>(out, value.size());
    out.append(value);
  } else if constexpr (std::is_same_v<T, bool>) {
    out.push_back(value ? '\1' : '\0');
  } else {
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
}

// The kind number of a C++ type: its place among GgufValue's alternatives.
template <typename T, size_t Kind = 0>
constexpr uint32_t kind_of() {
  if constexpr (std::is_same_v<T, std::variant_alternative_t<Kind, GgufValue>>) {
    return static_cast<uint32_t>(Kind);
  } else {
    return kind_of<T, Kind + 1>();
  }
}

void append_value(std::string& out, const GgufValue& value) {
  append_scalar(out, static_cast<uint32_t>(value.index()));
  std::visit(
      [&out](const auto& held) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(held)>, GgufArray>) {
          append_scalar(out, held);
        } else {
          std::visit(
              [&out](const auto& elements) {
                using E = typename std::decay_t<decltype(elements)>::value_type;
                append_scalar(out, kind_of<E>());
                append_scalar<uint64_t>(out, elements.size());
                for (const E& element : elements) append_scalar<E>(out, element);
              },
              held);
        }
      },
      value);
}

}  // namespace

Result<GgufWriter> GgufWriter::create(const std::string& path, std::span<const GgufField> fields,
                                      std::vector<GgufTensor> tensors) {
  std::string head = "GGUF";
  append_scalar<uint32_t>(head, 3);
  append_scalar<uint64_t>(head, tensors.size());
  append_scalar<uint64_t>(head, fields.size());
  for (const GgufField& field : fields) {
    append_scalar(head, field.key);
    append_value(head, field.value);
  }
  uint64_t offset = 0;
  for (GgufTensor& tensor : tensors) {
    const auto n_bytes = gguf_tensor_bytes(tensor.type, tensor.shape);
    if (!n_bytes || tensor.shape.size() > 4) {
      return Error(ErrorCode::kInvalidArgument,
                   fmt::format("tensor \"{}\" of shape {} cannot be written as {}", tensor.name,
                               shape_text(tensor.shape),
                               gguf_type_info(static_cast<uint32_t>(tensor.type))->name),
                   path);
    }
    tensor.n_bytes = *n_bytes;
    tensor.offset = offset;
    offset += align_up(tensor.n_bytes);
    append_scalar(head, tensor.name);
    append_scalar(head, static_cast<uint32_t>(tensor.shape.size()));
    for (size_t d = tensor.shape.size(); d-- > 0;) append_scalar<uint64_t>(head, tensor.shape[d]);
    append_scalar(head, static_cast<uint32_t>(tensor.type));
    append_scalar(head, tensor.offset);
  }
  head.resize(align_up(head.size()), '\0');
  ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  RETURN_IF_ERROR(file.write(std::as_bytes(std::span(head))));
  GgufWriter writer(std::move(file), std::move(tensors));
  writer.total_bytes_ = head.size() + offset;
  return writer;
}

Status GgufWriter::write(std::span<const std::byte> bytes) {
  constexpr std::array<std::byte, kAlignment> kZeros{};
  CHECK(current_ < tensors_.size());
  const uint64_t n_bytes = tensors_[current_].n_bytes;
  CHECK(n_current_bytes_ + bytes.size() <= n_bytes);
  RETURN_IF_ERROR(file_.write(bytes));
  n_current_bytes_ += bytes.size();
  if (n_current_bytes_ < n_bytes) return {};
  ++current_;
  n_current_bytes_ = 0;
  return file_.write(std::span(kZeros).first(align_up(n_bytes) - n_bytes));
}

Status GgufWriter::finish() {
  CHECK(current_ == tensors_.size());
  return file_.finish();
}

}  // namespace nibble

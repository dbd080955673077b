#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/bytes.h"
#include "core/json.h"
#include "formats/safetensors.h"

namespace nibble {
namespace {

// The indices of the declarations, largest elements first, otherwise in the given order.
std::vector<size_t> order_in_file(const std::vector<SafetensorsDeclaration>& declarations) {
  std::vector<size_t> order(declarations.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return dtype_bytes(declarations[a].dtype) > dtype_bytes(declarations[b].dtype);
  });
  return order;
}

}  // namespace

Result<SafetensorsLayout> lay_out_safetensors(
    const std::vector<SafetensorsDeclaration>& declarations, const std::string& subject) {
  SafetensorsLayout layout;
  layout.offsets.resize(declarations.size());
  layout.sizes.resize(declarations.size());
  std::string json = R"({"__metadata__":{"format":"pt"})";
  std::set<std::string_view> names;
  uint64_t end = 0;
  for (const size_t i : order_in_file(declarations)) {
    const SafetensorsDeclaration& tensor = declarations[i];
    const auto n = n_elements(tensor.shape);
    const auto n_bytes = n ? checked_mul(*n, dtype_bytes(tensor.dtype)) : std::nullopt;
    const auto next = n_bytes ? checked_add(end, *n_bytes) : std::nullopt;
    if (!next) {
      return Error(ErrorCode::kInvalidArgument,
                   fmt::format("cannot write tensor \"{}\": a shape of {} overflows", tensor.name,
                               shape_text(tensor.shape)),
                   subject);
    }
    if (!names.insert(tensor.name).second) {
      return Error(ErrorCode::kInvalidArgument,
                   fmt::format("cannot write two tensors named \"{}\"", tensor.name), subject);
    }
    layout.offsets[i] = end;
    layout.sizes[i] = *n_bytes;
    json += fmt::format(R"(,{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                        dump_json_line(Json(tensor.name)), dtype_name(tensor.dtype),
                        fmt::join(tensor.shape, ","), end, *next);
    end = *next;
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');  // the data begins at a multiple of 8
  layout.head.resize(8);
  store_le<uint64_t>(layout.head.data(), json.size());
  layout.head += json;
  for (uint64_t& offset : layout.offsets) offset += layout.head.size();
  layout.file_bytes = layout.head.size() + end;
  return layout;
}

Result<uint64_t> safetensors_header_bytes(const std::vector<SafetensorsDeclaration>& declarations) {
  ASSIGN_OR_RETURN(const SafetensorsLayout layout, lay_out_safetensors(declarations, {}));
  return uint64_t{layout.head.size()};
}

Result<SafetensorsWriter> SafetensorsWriter::create(
    const std::string& path, const std::vector<SafetensorsDeclaration>& declarations) {
  ASSIGN_OR_RETURN(const SafetensorsLayout layout, lay_out_safetensors(declarations, path));
  ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  RETURN_IF_ERROR(file.write(std::as_bytes(std::span(layout.head))));
  return SafetensorsWriter(std::move(file), layout, 0);
}

Result<SafetensorsWriter> SafetensorsWriter::resume(
    const std::string& path, const std::vector<SafetensorsDeclaration>& declarations,
    size_t n_complete) {
  CHECK(n_complete <= declarations.size());
  ASSIGN_OR_RETURN(const SafetensorsLayout layout, lay_out_safetensors(declarations, path));
  ASSIGN_OR_RETURN(OutputFile file, OutputFile::open_existing(path));
  return SafetensorsWriter(std::move(file), layout, n_complete);
}

SafetensorsWriter::SafetensorsWriter(OutputFile file, const SafetensorsLayout& layout,
                                     size_t n_complete)
    : file_(std::move(file)), cursors_(layout.offsets.size()) {
  for (size_t i = 0; i < cursors_.size(); ++i) {
    cursors_[i].end = layout.offsets[i] + layout.sizes[i];
    cursors_[i].next = i < n_complete ? cursors_[i].end : layout.offsets[i];
  }
}

Status SafetensorsWriter::write(size_t index, std::span<const std::byte> bytes) {
  CHECK(index < cursors_.size());
  Cursor& cursor = cursors_[index];
  CHECK(bytes.size() <= cursor.end - cursor.next);
  RETURN_IF_ERROR(file_.write_at(cursor.next, bytes));
  cursor.next += bytes.size();
  return {};
}

Status SafetensorsWriter::finish() {
  for (const Cursor& cursor : cursors_) CHECK(cursor.next == cursor.end);
  return file_.finish();
}

}  // namespace nibble

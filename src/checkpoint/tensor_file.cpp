#include "checkpoint/tensor_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "formats/safetensors.h"

namespace nibble {
namespace {

Status write_all(const std::string& path, std::span<const NamedTensor> tensors) {
  std::vector<SafetensorsDeclaration> declarations;
  for (const NamedTensor& named : tensors) {
    declarations.push_back({named.name, named.tensor.dtype, named.tensor.shape});
  }
  ASSIGN_OR_RETURN(SafetensorsWriter writer, SafetensorsWriter::create(path, declarations));
  for (size_t i = 0; i < tensors.size(); ++i) {
    RETURN_IF_ERROR(writer.write(i, tensors[i].tensor.bytes));
  }
  return writer.finish();
}

}  // namespace

Status write_tensor_file(const std::string& path, std::span<const NamedTensor> tensors) {
  for (const NamedTensor& named : tensors) {
    const auto n = n_elements(named.tensor.shape);
    if (!n || named.tensor.bytes.size() / dtype_bytes(named.tensor.dtype) != *n ||
        named.tensor.bytes.size() % dtype_bytes(named.tensor.dtype) != 0) {
      return Error(ErrorCode::kInvalidArgument,
                   fmt::format("cannot write tensor \"{}\": {} bytes are not {} of shape {}",
                               named.name, named.tensor.bytes.size(),
                               dtype_name(named.tensor.dtype), shape_text(named.tensor.shape)),
                   path);
    }
  }
  const std::string temporary = fmt::format("{}.tmp{}", path, ::getpid());
  Status status = write_all(temporary, tensors);
  if (status && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = system_error(errno, "cannot rename the finished file to this name", path);
  }
  if (!status) ::unlink(temporary.c_str());
  return status;
}

struct TensorFile::Impl {
  SafetensorsFile file;
};

TensorFile::TensorFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TensorFile::TensorFile(TensorFile&&) noexcept = default;
TensorFile& TensorFile::operator=(TensorFile&&) noexcept = default;
TensorFile::~TensorFile() = default;

Result<TensorFile> TensorFile::open(const std::string& path) {
  ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::open(path));
  return TensorFile(std::make_unique<Impl>(Impl{std::move(file)}));
}

std::vector<std::string> TensorFile::names() const {
  const SafetensorsHeader& header = impl_->file.header();
  std::vector<std::string> names;
  names.reserve(header.by_name.size());
  for (const uint32_t index : header.by_name) names.push_back(header.entries[index].name);
  return names;
}

std::optional<TensorView> TensorFile::find(std::string_view name) const {
  const SafetensorsEntry* entry = impl_->file.header().find(name);
  if (entry == nullptr) return std::nullopt;
  return impl_->file.view(*entry);
}

std::optional<std::string> TensorFile::metadata(const std::string& key) const {
  const auto& all = impl_->file.header().metadata;
  const auto at = all.find(key);
  return at == all.end() ? std::nullopt : std::optional(at->second);
}

Status TensorFile::intact() const { return impl_->file.intact(); }

}  // namespace nibble

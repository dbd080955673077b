#include "core/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

namespace nibble {
namespace {

constexpr size_t kCopyChunkBytes = size_t{1} << 20;

ErrorCode code_of_errno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::kPermission;
    case EEXIST:
    case ENOTEMPTY:
      return ErrorCode::kAlreadyExists;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ErrorCode::kNoSpace;
    case ENOMEM:
      return ErrorCode::kOutOfMemory;
    default:
      return ErrorCode::kIo;
  }
}

// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

}  // namespace

Error system_error(int error_number, std::string_view tried, const std::string& path) {
  return Error(code_of_errno(error_number),
               fmt::format("{}: {}", tried, std::strerror(error_number)), path);
}

Result<std::string> read_file(const std::string& path, uint64_t max_bytes) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return system_error(errno, "cannot open for reading", path);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return system_error(errno, "cannot stat", path);
  if (S_ISDIR(info.st_mode)) {
    return Error(ErrorCode::kInvalidArgument, "is a folder, a file was expected", path);
  }
  std::string content;
  std::vector<char> chunk(kCopyChunkBytes);
  while (true) {
    const ssize_t n = ::read(file.get(), chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(errno, "cannot read", path);
    if (n == 0) return content;
    if (content.size() + static_cast<size_t>(n) > max_bytes) {
      return Error(ErrorCode::kLimit,
                   fmt::format("is larger than the limit of {} bytes", max_bytes), path);
    }
    content.append(chunk.data(), static_cast<size_t>(n));
  }
}

Status write_file_atomically(const std::string& path, std::string_view content) {
  const std::string temporary = fmt::format("{}.tmp{}", path, ::getpid());
  auto write = [&]() -> Status {
    ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(temporary));
    RETURN_IF_ERROR(file.write(std::as_bytes(std::span(content))));
    RETURN_IF_ERROR(file.finish());
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      return system_error(errno, "cannot rename the finished file to this name", path);
    }
    return {};
  };
  Status status = write();
  if (!status) ::unlink(temporary.c_str());
  return status;
}

Status copy_file_bytes(const std::string& from, const std::string& to) {
  const Descriptor source(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (source.get() < 0) return system_error(errno, "cannot open for reading", from);
  ASSIGN_OR_RETURN(OutputFile target, OutputFile::create(to));
  std::vector<std::byte> chunk(kCopyChunkBytes);
  while (true) {
    const ssize_t n = ::read(source.get(), chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(errno, "cannot read", from);
    if (n == 0) break;
    RETURN_IF_ERROR(target.write(std::span(chunk).first(static_cast<size_t>(n))));
  }
  return target.finish();
}

Result<OutputFile> OutputFile::create(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) return system_error(errno, "cannot open for writing", path);
  return OutputFile(descriptor, path);
}

Result<OutputFile> OutputFile::open_existing(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) return system_error(errno, "cannot open for writing", path);
  return OutputFile(descriptor, path);
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      path_(std::move(other.path_)),
      n_written_bytes_(other.n_written_bytes_) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  std::swap(n_written_bytes_, other.n_written_bytes_);
  return *this;
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status OutputFile::write(std::span<const std::byte> bytes) {
  CHECK(descriptor_ >= 0);
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), std::min(bytes.size(), size_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(errno, "cannot write", path_);
    n_written_bytes_ += static_cast<uint64_t>(n);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status OutputFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  CHECK(descriptor_ >= 0);
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(descriptor_, bytes.data(), std::min(bytes.size(), size_t{1} << 30),
                               static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(errno, "cannot write", path_);
    n_written_bytes_ += static_cast<uint64_t>(n);
    offset += static_cast<uint64_t>(n);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status OutputFile::resize(uint64_t n_bytes) {
  CHECK(descriptor_ >= 0);
  if (::ftruncate(descriptor_, static_cast<off_t>(n_bytes)) == 0) return {};
  return system_error(errno, "cannot change the size of the file", path_);
}

Status OutputFile::sync() {
  CHECK(descriptor_ >= 0);
  if (::fdatasync(descriptor_) == 0) return {};
  return system_error(errno, "cannot flush to disk", path_);
}

Status OutputFile::finish() {
  CHECK(descriptor_ >= 0);
  const int descriptor = std::exchange(descriptor_, -1);
  const bool synced = ::fsync(descriptor) == 0;
  const int sync_errno = errno;
  if (::close(descriptor) != 0) return system_error(errno, "cannot close", path_);
  if (!synced) return system_error(sync_errno, "cannot flush to disk", path_);
  return {};
}

Status sync_folder(const std::string& path) {
  const Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) return system_error(errno, "cannot open the folder", path);
  // Some file systems cannot sync folders; that is no reason to fail a finished job.
  ::fsync(folder.get());
  return {};
}

}  // namespace nibble

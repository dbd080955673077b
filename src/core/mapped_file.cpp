#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <utility>

#include "core/file.h"

namespace nibble {
namespace {

// The signal handler may only touch lock-free memory, so live mappings stand in a fixed table. A
// checkpoint of more shards than slots still works; only the SIGBUS protection is missing there.
struct Slot {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> damaged{false};
};
constexpr size_t kMaxSlots = 4096;
std::array<Slot, kMaxSlots> slots;
std::mutex slots_mutex;

struct sigaction previous_action;

// Replaces the unreadable page by zeros and marks its mapping, so that the reader goes on and finds
// out at intact(). Faults outside our mappings go to whoever was there before.
void on_sigbus(int signal_number, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Slot& slot : slots) {
    const uintptr_t begin = slot.begin.load();
    if (begin == 0 || address < begin || address >= slot.end.load()) continue;
    const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    void* start = reinterpret_cast<void*>(address / page * page);  // NOLINT: fault address
    if (::mmap(start, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == start) {
      slot.damaged.store(true);
      return;
    }
  }
  if ((previous_action.sa_flags & SA_SIGINFO) != 0 && previous_action.sa_sigaction != nullptr) {
    previous_action.sa_sigaction(signal_number, info, context);
    return;
  }
  ::signal(signal_number, SIG_DFL);
  ::raise(signal_number);
}

void install_handler_once() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, &previous_action);
  });
}

Slot* take_slot(uintptr_t begin, uintptr_t end) {
  const std::lock_guard lock(slots_mutex);
  for (Slot& slot : slots) {
    if (slot.begin.load() != 0) continue;
    slot.damaged.store(false);
    slot.end.store(end);
    slot.begin.store(begin);
    return &slot;
  }
  return nullptr;
}

// Gives the whole pages in [begin, end) back.
void release_pages(uintptr_t begin, uintptr_t end) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  begin = (begin + page - 1) / page * page;
  end = end / page * page;
  if (begin >= end) return;
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);  // NOLINT: an address
}

}  // namespace

void release_mapped(std::span<const std::byte> bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t end = begin + bytes.size();
  for (const Slot& slot : slots) {
    const uintptr_t first = slot.begin.load();
    if (first != 0 && begin >= first && end <= slot.end.load()) return release_pages(begin, end);
  }
}

struct MappedFile::Mapping {
  std::string path;
  void* address = nullptr;
  size_t n_bytes = 0;
  Slot* slot = nullptr;

  ~Mapping() {
    if (slot != nullptr) slot->begin.store(0);
    if (address != nullptr) ::munmap(address, n_bytes);
  }
};

MappedFile::MappedFile(std::unique_ptr<Mapping> mapping) : mapping_(std::move(mapping)) {}
MappedFile::MappedFile(MappedFile&&) noexcept = default;
MappedFile& MappedFile::operator=(MappedFile&&) noexcept = default;
MappedFile::~MappedFile() = default;

Result<MappedFile> MappedFile::open(const std::string& path) {
  // Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return system_error(errno, "cannot open for reading", path);
  auto mapping = std::make_unique<Mapping>();
  mapping->path = path;
  struct stat info {};
  if (::fstat(descriptor, &info) != 0) {
    const int error_number = errno;
    ::close(descriptor);
    return system_error(error_number, "cannot stat", path);
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(descriptor);
    return Error(ErrorCode::kInvalidArgument, "is not a regular file, which was expected", path);
  }
  mapping->n_bytes = static_cast<size_t>(info.st_size);
  if (mapping->n_bytes > 0) {
    void* address = ::mmap(nullptr, mapping->n_bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (address == MAP_FAILED) {
      const int error_number = errno;
      ::close(descriptor);
      return system_error(error_number, "cannot map into memory", path);
    }
    mapping->address = address;
    install_handler_once();
    const auto begin = reinterpret_cast<uintptr_t>(address);
    mapping->slot = take_slot(begin, begin + mapping->n_bytes);
  }
  ::close(descriptor);
  return MappedFile(std::move(mapping));
}

std::span<const std::byte> MappedFile::bytes() const {
  return {static_cast<const std::byte*>(mapping_->address), mapping_->n_bytes};
}

const std::string& MappedFile::path() const { return mapping_->path; }

Status MappedFile::intact() const {
  if (mapping_->slot == nullptr || !mapping_->slot->damaged.load()) return {};
  return Error(ErrorCode::kIo,
               "could not be read to its end: the file was truncated or replaced while in use, or "
               "the disk failed; restore it and run again",
               mapping_->path);
}

void MappedFile::release(size_t offset, size_t n_bytes) const {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = (offset + page - 1) / page * page;
  const size_t end = std::min(offset + n_bytes, mapping_->n_bytes) / page * page;
  if (begin < end)
    ::madvise(static_cast<std::byte*>(mapping_->address) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace nibble

#include "formats/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "core/bytes.h"
#include "core/json.h"

namespace nibble {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr int kMaxDepth = 16;

// Collects the entries of a header. A state machine instead of a tree: a header of 100 MB would
// take gigabytes as a tree.
class HeaderReader : public JsonEvents {
 public:
  explicit HeaderReader(std::string_view subject) : subject_(subject) {}

  std::vector<SafetensorsEntry> take_entries() { return std::move(entries_); }
  std::map<std::string, std::string> take_metadata() { return std::move(metadata_); }
  const std::optional<Error>& error() const { return error_; }

  bool start_object(size_t) override {
    if (skip_depth_ > 0) return enter_skipped();
    switch (state_) {
      case State::kStart:
        state_ = State::kTop;
        return true;
      case State::kTop:
        if (key_ == kMetadataKey) {
          state_ = State::kMetadata;
          return true;
        }
        return begin_entry();
      case State::kEntry:
        if (field_ == Field::kUnknown) return enter_skipped();
        return fail_field();
      default:
        return fail_value();
    }
  }

  bool end_object() override {
    if (skip_depth_ > 0) return leave_skipped();
    if (state_ == State::kEntry) return end_entry();
    state_ = state_ == State::kMetadata ? State::kTop : State::kEnd;
    return true;
  }

  bool start_array(size_t) override {
    if (skip_depth_ > 0) return enter_skipped();
    if (state_ == State::kEntry && field_ == Field::kUnknown) return enter_skipped();
    if (state_ == State::kEntry && (field_ == Field::kShape || field_ == Field::kOffsets)) {
      state_ = State::kList;
      return true;
    }
    return fail_value();
  }

  bool end_array() override {
    if (skip_depth_ > 0) return leave_skipped();
    state_ = State::kEntry;
    return true;
  }

  bool key(std::string& name) override {
    if (skip_depth_ > 0) return true;
    if (state_ == State::kEntry) return begin_field(name);
    if (state_ == State::kMetadata && metadata_.count(name) != 0) {
      return fail(fmt::format("its metadata has the key \"{:.200}\" twice", name));
    }
    if (state_ == State::kTop && name == kMetadataKey && std::exchange(seen_metadata_, true)) {
      return fail("it has __metadata__ twice");
    }
    key_ = std::move(name);
    return true;
  }

  bool string(std::string& value) override {
    if (skips_value()) return true;
    if (state_ == State::kMetadata) {
      metadata_[key_] = std::move(value);
      return true;
    }
    if (state_ != State::kEntry || field_ != Field::kDType) return fail_value();
    const auto dtype = dtype_from_name(value);
    if (!dtype) {
      return fail(
          fmt::format("tensor \"{:.200}\" has the element type \"{}\", which nibble does not "
                      "know",
                      key_, value.substr(0, 40)),
          ErrorCode::kUnsupported);
    }
    entry_.dtype = *dtype;
    return true;
  }

  bool number_unsigned(uint64_t value) override {
    if (skips_value()) return true;
    if (state_ != State::kList) return fail_value();
    if (field_ == Field::kOffsets) {
      if (n_offsets_ == 2) return fail_offsets("more than two numbers");
      offsets_[n_offsets_++] = value;
      return true;
    }
    if (entry_.shape.size() == kMaxSafetensorsRank) {
      return fail(
          fmt::format("tensor \"{:.200}\" has more than {} dimensions", key_, kMaxSafetensorsRank),
          ErrorCode::kLimit);
    }
    entry_.shape.push_back(value);
    return true;
  }

  bool number_integer(int64_t) override { return skips_value() || fail_number("negative"); }
  bool number_float(double, const std::string&) override {
    return skips_value() || fail_number("not a whole number of 64 bits");
  }
  bool null() override { return skips_value() || fail_value(); }
  bool boolean(bool) override { return skips_value() || fail_value(); }
  bool binary(SortedJson::binary_t&) override { return fail_value(); }

 private:
  enum class State : uint8_t { kStart, kTop, kMetadata, kEntry, kList, kEnd };
  enum class Field : uint8_t { kUnknown, kDType, kShape, kOffsets };
  static constexpr std::string_view kMetadataKey = "__metadata__";

  bool fail(std::string message, ErrorCode code = ErrorCode::kCorrupt) {
    error_.emplace(code, "safetensors header: " + std::move(message), std::string(subject_));
    return false;
  }

  bool fail_value() {
    if (state_ == State::kStart) return fail("it is not a JSON object");
    if (state_ == State::kMetadata) {
      return fail(fmt::format("the metadata \"{:.200}\" is not a string", key_));
    }
    if (state_ == State::kTop) {
      return fail(fmt::format("the description of tensor \"{:.200}\" is not an object", key_));
    }
    return fail_field();
  }

  bool fail_field() {
    constexpr std::string_view kNames[] = {"?", "dtype", "shape", "data_offsets"};
    return fail(fmt::format("tensor \"{:.200}\" has a {} of the wrong kind", key_,
                            kNames[static_cast<size_t>(field_)]));
  }

  bool fail_number(std::string_view what) {
    if (state_ != State::kList) return fail_value();
    return fail(fmt::format("tensor \"{:.200}\" has a number that is {} in its {}", key_, what,
                            field_ == Field::kShape ? "shape" : "data_offsets"));
  }

  bool fail_offsets(std::string_view what) {
    return fail(fmt::format("tensor \"{:.200}\" has data_offsets with {}", key_, what));
  }

  bool enter_skipped() {
    ++skip_depth_;
    return true;
  }
  bool leave_skipped() {
    --skip_depth_;
    return true;
  }
  bool skips_value() const {
    return skip_depth_ > 0 || (state_ == State::kEntry && field_ == Field::kUnknown);
  }

  bool begin_entry() {
    if (entries_.size() == kMaxSafetensorsEntries) {
      return fail(fmt::format("it names more than {} tensors", kMaxSafetensorsEntries),
                  ErrorCode::kLimit);
    }
    entry_ = SafetensorsEntry{};
    seen_ = {};
    n_offsets_ = 0;
    state_ = State::kEntry;
    return true;
  }

  bool begin_field(const std::string& name) {
    field_ = name == "dtype"          ? Field::kDType
             : name == "shape"        ? Field::kShape
             : name == "data_offsets" ? Field::kOffsets
                                      : Field::kUnknown;
    if (field_ == Field::kUnknown) return true;
    if (std::exchange(seen_[static_cast<size_t>(field_)], true)) {
      return fail(fmt::format("tensor \"{:.200}\" has {} twice", key_, name));
    }
    return true;
  }

  bool end_entry() {
    if (!seen_[1] || !seen_[2] || !seen_[3]) {
      return fail(fmt::format("tensor \"{:.200}\" lacks {}", key_,
                              !seen_[1]   ? "dtype"
                              : !seen_[2] ? "shape"
                                          : "data_offsets"));
    }
    if (n_offsets_ != 2) return fail_offsets("fewer than two numbers");
    if (offsets_[1] < offsets_[0]) return fail_offsets("the end before the begin");
    entry_.name = std::move(key_);
    entry_.offset = offsets_[0];
    entry_.n_bytes = offsets_[1] - offsets_[0];
    entries_.push_back(std::move(entry_));
    state_ = State::kTop;
    return true;
  }

  std::string_view subject_;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, std::string> metadata_;
  std::optional<Error> error_;
  State state_ = State::kStart;
  Field field_ = Field::kUnknown;
  std::string key_;  // of the tensor or of the metadata
  SafetensorsEntry entry_;
  std::array<bool, 4> seen_ = {};
  std::array<uint64_t, 2> offsets_ = {};
  size_t n_offsets_ = 0;
  bool seen_metadata_ = false;
  int skip_depth_ = 0;
};

Error corrupt(std::string message, std::string_view subject) {
  return Error(ErrorCode::kCorrupt, std::move(message), std::string(subject));
}

Result<std::string_view> header_text(std::span<const std::byte> file, std::string_view subject) {
  if (file.size() < kLengthBytes) {
    return corrupt(fmt::format("not a safetensors file: {} bytes long, its first 8 must give the "
                               "length of the header",
                               file.size()),
                   subject);
  }
  const auto n_bytes = load_le<uint64_t>(file.data());
  if (n_bytes > kMaxSafetensorsHeaderBytes) {
    return Error(ErrorCode::kLimit,
                 fmt::format("not a safetensors file: its header would be {} bytes long, at most "
                             "{} are allowed",
                             n_bytes, kMaxSafetensorsHeaderBytes),
                 std::string(subject));
  }
  if (n_bytes > file.size() - kLengthBytes) {
    return corrupt(fmt::format("is cut short: the header should take {} bytes, {} are left; "
                               "download the file again",
                               n_bytes, file.size() - kLengthBytes),
                   subject);
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, n_bytes);
  if (!text.starts_with('{')) {
    return corrupt("not a safetensors file: the header does not begin with '{'", subject);
  }
  return text;
}

Status check_layout(const SafetensorsHeader& header, uint64_t n_data_bytes,
                    std::string_view subject) {
  uint64_t covered = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    const auto n = n_elements(entry.shape);
    const auto n_bytes = n ? checked_mul(*n, dtype_bytes(entry.dtype)) : std::nullopt;
    if (!n_bytes || *n_bytes != entry.n_bytes) {
      return corrupt(
          fmt::format("safetensors header: tensor \"{:.200}\" of type {} and shape {} does "
                      "not fill its {} bytes",
                      entry.name, dtype_name(entry.dtype), shape_text(entry.shape), entry.n_bytes),
          subject);
    }
    if (entry.offset != covered) {
      return corrupt(
          fmt::format("safetensors header: tensor \"{:.200}\" begins at {}, the one before "
                      "it ends at {}; data must not {}",
                      entry.name, entry.offset, covered,
                      entry.offset < covered ? "overlap" : "have gaps"),
          subject);
    }
    covered += entry.n_bytes;
    if (covered > n_data_bytes) {
      return corrupt(
          fmt::format("is cut short: tensor \"{:.200}\" ends at byte {} of the data, the "
                      "file has {}; download the file again",
                      entry.name, covered, n_data_bytes),
          subject);
    }
  }
  if (covered != n_data_bytes) {
    return corrupt(fmt::format("safetensors header: the tensors cover {} bytes, the file has {}",
                               covered, n_data_bytes),
                   subject);
  }
  return {};
}

Status sort_names(SafetensorsHeader& header, std::string_view subject) {
  const auto& entries = header.entries;
  header.by_name.resize(entries.size());
  for (uint32_t i = 0; i < entries.size(); ++i) header.by_name[i] = i;
  std::sort(header.by_name.begin(), header.by_name.end(),
            [&](uint32_t a, uint32_t b) { return entries[a].name < entries[b].name; });
  for (size_t i = 1; i < header.by_name.size(); ++i) {
    const std::string& name = entries[header.by_name[i]].name;
    if (name == entries[header.by_name[i - 1]].name) {
      return corrupt(fmt::format("safetensors header: it names the tensor \"{:.200}\" twice", name),
                     subject);
    }
  }
  return {};
}

}  // namespace

const SafetensorsEntry* SafetensorsHeader::find(std::string_view name) const {
  const auto at = std::lower_bound(
      by_name.begin(), by_name.end(), name,
      [&](uint32_t index, std::string_view wanted) { return entries[index].name < wanted; });
  return at != by_name.end() && entries[*at].name == name ? &entries[*at] : nullptr;
}

Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> file,
                                                   std::string_view subject) {
  ASSIGN_OR_RETURN(const std::string_view text, header_text(file, subject));
  HeaderReader reader(subject);
  RETURN_IF_ERROR(walk_json(text, subject, reader, JsonLimits{.max_depth = kMaxDepth}));
  if (reader.error()) return *reader.error();
  SafetensorsHeader header;
  header.entries = reader.take_entries();
  header.metadata = reader.take_metadata();
  header.data_offset = kLengthBytes + text.size();
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
                     return std::pair(a.offset, a.n_bytes) < std::pair(b.offset, b.n_bytes);
                   });
  RETURN_IF_ERROR(sort_names(header, subject));
  RETURN_IF_ERROR(check_layout(header, file.size() - header.data_offset, subject));
  return header;
}

Result<SafetensorsFile> SafetensorsFile::open(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  ASSIGN_OR_RETURN(SafetensorsHeader header, parse_safetensors_header(file.bytes(), path));
  RETURN_IF_ERROR(file.intact());
  return SafetensorsFile(std::move(file), std::move(header));
}

TensorView SafetensorsFile::view(const SafetensorsEntry& entry) const {
  return {entry.dtype, entry.shape,
          file_.bytes().subspan(header_.data_offset + entry.offset, entry.n_bytes)};
}

void SafetensorsFile::release(const SafetensorsEntry& entry) const {
  file_.release(header_.data_offset + entry.offset, entry.n_bytes);
}

}  // namespace nibble

#include "formats/gguf.h"

#include <fmt/format.h>

#include <array>
#include <unordered_set>

#include "core/bytes.h"

namespace nibble {
namespace {

constexpr std::array<GgufTypeInfo, 14> kTypes = {{
    {GgufType::kF32, "F32", 1, 4},
    {GgufType::kF16, "F16", 1, 2},
    {GgufType::kQ4_0, "Q4_0", 32, 18},
    {GgufType::kQ8_0, "Q8_0", 32, 34},
    {GgufType::kQ4K, "Q4_K", 256, 144},
    {GgufType::kQ5K, "Q5_K", 256, 176},
    {GgufType::kQ6K, "Q6_K", 256, 210},
    {GgufType::kI8, "I8", 1, 1},
    {GgufType::kI16, "I16", 1, 2},
    {GgufType::kI32, "I32", 1, 4},
    {GgufType::kI64, "I64", 1, 8},
    {GgufType::kF64, "F64", 1, 8},
    {GgufType::kBF16, "BF16", 1, 2},
    {GgufType::kNvfp4, "NVFP4", 64, 36},
}};

// Types that other programs write and nibble does not read, so that messages can name them.
constexpr std::array<std::pair<uint32_t, std::string_view>, 21> kOtherTypes = {{
    {3, "Q4_1"},   {6, "Q5_0"},     {7, "Q5_1"},    {9, "Q8_1"},     {10, "Q2_K"},  {11, "Q3_K"},
    {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"},
    {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"}, {29, "IQ1_M"},   {34, "TQ1_0"}, {35, "TQ2_0"},
    {39, "MXFP4"}, {41, "Q1_0"},    {42, "Q2_0"},
}};

std::string type_text(uint32_t type) {
  for (const auto& [number, name] : kOtherTypes) {
    if (number == type) return std::string(name);
  }
  return fmt::format("number {}", type);
}

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kMaxFields = 1u << 16;
constexpr uint64_t kMaxTensors = 1u << 20;
constexpr uint64_t kMaxKeyBytes = 1u << 16;
constexpr uint32_t kMaxDims = 4;
constexpr uint64_t kDefaultAlignment = 32;

constexpr uint32_t kArrayKind = 9;
// The least bytes that a value of each kind takes, by kind number.
constexpr std::array<uint64_t, 13> kKindBytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

// Walks over the header; every read is checked against what is left.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::string_view subject)
      : bytes_(bytes), subject_(subject) {}

  uint64_t position() const { return position_; }
  uint64_t n_left() const { return bytes_.size() - position_; }

  Error corrupt(std::string message) const {
    return Error(ErrorCode::kCorrupt, std::move(message), std::string(subject_));
  }

  template <typename T>
  Result<T> number(std::string_view what) {
    if (n_left() < sizeof(T)) {
      return corrupt(fmt::format("the file ends at byte {} inside {}", bytes_.size(), what));
    }
    const T value = load_le<T>(bytes_.data() + position_);
    position_ += sizeof(T);
    return value;
  }

  Result<std::string> string(std::string_view what, uint64_t max_bytes) {
    ASSIGN_OR_RETURN(const uint64_t n, number<uint64_t>(what));
    if (n > n_left() || n > max_bytes) {
      return corrupt(fmt::format("{} claims {} bytes, {} are left and {} are allowed", what, n,
                                 n_left(), max_bytes));
    }
    std::string text(reinterpret_cast<const char*>(bytes_.data() + position_), n);
    position_ += n;
    return text;
  }

  // Checks the claimed length of an array before anything is allocated for it.
  Status check_array(uint64_t n, uint64_t element_bytes, std::string_view what) const {
    const auto total = checked_mul(n, element_bytes);
    if (total && *total <= n_left()) return {};
    return corrupt(fmt::format("{} claims {} elements of at least {} bytes, {} bytes are left",
                               what, n, element_bytes, n_left()));
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view subject_;
  uint64_t position_ = 0;
};

template <typename T>
Result<T> read_scalar(Reader& reader, std::string_view what) {
  if constexpr (std::is_same_v<T, std::string>) {
    return reader.string(what, reader.n_left());
  } else if constexpr (std::is_same_v<T, bool>) {
    ASSIGN_OR_RETURN(const uint8_t byte, reader.number<uint8_t>(what));
    if (byte > 1) return reader.corrupt(fmt::format("{}: a boolean is {}", what, byte));
    return byte == 1;
  } else {
    return reader.number<T>(what);
  }
}

template <typename T>
Result<GgufArray> read_array(Reader& reader, uint64_t n, std::string_view what) {
  std::vector<T> values;
  values.reserve(n);
  for (uint64_t i = 0; i < n; ++i) {
    ASSIGN_OR_RETURN(T value, read_scalar<T>(reader, what));
    values.push_back(std::move(value));
  }
  return GgufArray(std::move(values));
}

// Calls visit with a null pointer to the C++ type of a scalar kind; unknown kinds visit nothing.
template <size_t Kind = 0, typename Visit>
void visit_kind(uint32_t kind, Visit visit) {
  if constexpr (Kind < std::variant_size_v<GgufValue>) {
    using T = std::variant_alternative_t<Kind, GgufValue>;
    if (kind != Kind) {
      visit_kind<Kind + 1>(kind, visit);
    } else if constexpr (!std::is_same_v<T, GgufArray>) {
      visit(static_cast<T*>(nullptr));
    }
  }
}

Result<GgufValue> read_array_value(Reader& reader, const std::string& what) {
  ASSIGN_OR_RETURN(const uint32_t kind, reader.number<uint32_t>(what));
  ASSIGN_OR_RETURN(const uint64_t n, reader.number<uint64_t>(what));
  if (kind >= kKindBytes.size() || kind == kArrayKind) {
    return reader.corrupt(
        fmt::format("{} is an array of kind {}, which nibble does not read", what, kind));
  }
  RETURN_IF_ERROR(reader.check_array(n, kKindBytes[kind], what));
  Result<GgufValue> result = GgufValue();
  visit_kind(kind, [&](auto* type) {
    auto array = read_array<std::remove_pointer_t<decltype(type)>>(reader, n, what);
    result = array ? Result<GgufValue>(GgufValue(*std::move(array))) : array.error();
  });
  return result;
}

Result<GgufValue> read_value(Reader& reader, const std::string& key) {
  const std::string what = fmt::format("the value of \"{}\"", key);
  ASSIGN_OR_RETURN(const uint32_t kind, reader.number<uint32_t>(what));
  if (kind == kArrayKind) return read_array_value(reader, what);
  Result<GgufValue> result = reader.corrupt(fmt::format("{} is of unknown kind {}", what, kind));
  visit_kind(kind, [&](auto* type) {
    auto scalar = read_scalar<std::remove_pointer_t<decltype(type)>>(reader, what);
    result = scalar ? Result<GgufValue>(GgufValue(*std::move(scalar))) : scalar.error();
  });
  return result;
}

Result<uint32_t> read_preamble(Reader& reader) {
  ASSIGN_OR_RETURN(const uint32_t magic, reader.number<uint32_t>("the magic number"));
  if (magic != kMagic) {
    return reader.corrupt(fmt::format("is not a GGUF file: it starts with {:#010x}", magic));
  }
  ASSIGN_OR_RETURN(const uint32_t version, reader.number<uint32_t>("the version"));
  if (version == 2 || version == 3) return version;
  Error error = reader.corrupt(fmt::format("has GGUF version {}; 2 and 3 can be read", version));
  if (version >= (1u << 16)) error.message += " (it looks like a big-endian file)";
  error.code = ErrorCode::kUnsupported;
  return error;
}

Status read_fields(Reader& reader, uint64_t n_fields, GgufHeader& header) {
  std::unordered_set<std::string> seen;
  for (uint64_t i = 0; i < n_fields; ++i) {
    ASSIGN_OR_RETURN(std::string key, reader.string("a metadata key", kMaxKeyBytes));
    if (!seen.insert(key).second) {
      return reader.corrupt(fmt::format("has the metadata key \"{}\" twice", key));
    }
    ASSIGN_OR_RETURN(GgufValue value, read_value(reader, key));
    header.fields.push_back({std::move(key), std::move(value)});
  }
  return {};
}

Result<GgufTensor> read_tensor(Reader& reader) {
  GgufTensor tensor;
  ASSIGN_OR_RETURN(tensor.name, reader.string("a tensor name", kMaxKeyBytes));
  const std::string what = fmt::format("tensor \"{}\"", tensor.name);
  ASSIGN_OR_RETURN(const uint32_t n_dims, reader.number<uint32_t>(what));
  if (n_dims == 0 || n_dims > kMaxDims) {
    return reader.corrupt(
        fmt::format("{} has {} dimensions; 1 to {} are possible", what, n_dims, kMaxDims));
  }
  tensor.shape.resize(n_dims);
  for (uint32_t d = 0; d < n_dims; ++d) {
    ASSIGN_OR_RETURN(tensor.shape[n_dims - 1 - d], reader.number<uint64_t>(what));
  }
  ASSIGN_OR_RETURN(const uint32_t type, reader.number<uint32_t>(what));
  const GgufTypeInfo* info = gguf_type_info(type);
  if (info == nullptr) {
    Error error = reader.corrupt(
        fmt::format("{} has the type {}, which nibble does not read; use a file of F32, F16, BF16, "
                    "Q8_0, Q4_0, Q4_K, Q5_K, Q6_K or NVFP4",
                    what, type_text(type)));
    error.code = ErrorCode::kUnsupported;
    return error;
  }
  tensor.type = info->type;
  ASSIGN_OR_RETURN(tensor.offset, reader.number<uint64_t>(what));
  const auto n_bytes = gguf_tensor_bytes(tensor.type, tensor.shape);
  if (!n_bytes) {
    return reader.corrupt(fmt::format("{} of shape {} does not divide into {} blocks of {} values",
                                      what, shape_text(tensor.shape), info->name, info->n_values));
  }
  tensor.n_bytes = *n_bytes;
  return tensor;
}

Result<uint64_t> alignment_of(const GgufHeader& header, const Reader& reader) {
  const GgufValue* value = header.find("general.alignment");
  if (value == nullptr) return kDefaultAlignment;
  const auto* alignment = std::get_if<uint32_t>(value);
  if (alignment == nullptr || *alignment == 0 || *alignment % 8 != 0 || *alignment > (1u << 20)) {
    return reader.corrupt("general.alignment is not a multiple of 8 up to 1048576");
  }
  return *alignment;
}

Status check_placement(const GgufHeader& header, uint64_t alignment, uint64_t n_file_bytes,
                       const Reader& reader) {
  std::unordered_set<std::string_view> seen;
  for (const GgufTensor& tensor : header.tensors) {
    if (!seen.insert(tensor.name).second) {
      return reader.corrupt(fmt::format("has tensor \"{}\" twice", tensor.name));
    }
    const auto end = checked_add(tensor.offset, tensor.n_bytes);
    const auto file_end = end ? checked_add(*end, header.data_begin) : std::nullopt;
    if (tensor.offset % alignment != 0 || !file_end || *file_end > n_file_bytes) {
      return reader.corrupt(fmt::format(
          "tensor \"{}\" claims {} bytes at offset {} of the data, which begins at "
          "byte {} of {}, in steps of {}",
          tensor.name, tensor.n_bytes, tensor.offset, header.data_begin, n_file_bytes, alignment));
    }
  }
  return {};
}

}  // namespace

const GgufTypeInfo* gguf_type_info(uint32_t type) {
  for (const GgufTypeInfo& info : kTypes) {
    if (static_cast<uint32_t>(info.type) == type) return &info;
  }
  return nullptr;
}

std::optional<uint64_t> gguf_tensor_bytes(GgufType type, const Shape& shape) {
  const GgufTypeInfo* info = gguf_type_info(static_cast<uint32_t>(type));
  const auto n = n_elements(shape);
  if (info == nullptr || !n || shape.empty() || shape.back() % info->n_values != 0) {
    return std::nullopt;
  }
  return checked_mul(*n / info->n_values, info->n_bytes);
}

const GgufValue* GgufHeader::find(std::string_view key) const {
  for (const GgufField& field : fields) {
    if (field.key == key) return &field.value;
  }
  return nullptr;
}

Result<GgufHeader> parse_gguf_header(std::span<const std::byte> bytes, std::string_view subject) {
  Reader reader(bytes, subject);
  GgufHeader header;
  ASSIGN_OR_RETURN(header.version, read_preamble(reader));
  ASSIGN_OR_RETURN(const uint64_t n_tensors, reader.number<uint64_t>("the tensor count"));
  ASSIGN_OR_RETURN(const uint64_t n_fields, reader.number<uint64_t>("the metadata count"));
  if (n_tensors > kMaxTensors || n_fields > kMaxFields) {
    return Error(ErrorCode::kLimit,
                 fmt::format("claims {} tensors and {} metadata fields; at most {} and {} are read",
                             n_tensors, n_fields, kMaxTensors, kMaxFields),
                 std::string(subject));
  }
  RETURN_IF_ERROR(read_fields(reader, n_fields, header));
  for (uint64_t i = 0; i < n_tensors; ++i) {
    ASSIGN_OR_RETURN(GgufTensor tensor, read_tensor(reader));
    header.tensors.push_back(std::move(tensor));
  }
  ASSIGN_OR_RETURN(const uint64_t alignment, alignment_of(header, reader));
  header.data_begin = (reader.position() + alignment - 1) / alignment * alignment;
  RETURN_IF_ERROR(check_placement(header, alignment, bytes.size(), reader));
  return header;
}

Result<GgufFile> GgufFile::open(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  ASSIGN_OR_RETURN(GgufHeader header, parse_gguf_header(file.bytes(), path));
  RETURN_IF_ERROR(file.intact());
  return GgufFile(std::move(file), std::move(header));
}

std::span<const std::byte> GgufFile::bytes(const GgufTensor& tensor) const {
  return file_.bytes().subspan(header_.data_begin + tensor.offset, tensor.n_bytes);
}

}  // namespace nibble

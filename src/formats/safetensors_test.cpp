// Safetensors: every way in which a header can lie, and the round trip.
#include "formats/safetensors.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "core/bytes.h"
#include "tests/test_data.h"

namespace nibble {
namespace {

using testing::HasSubstr;

// A file image: length field, header text, data.
std::string image(const std::string& header, size_t n_data_bytes) {
  std::string file(8, '\0');
  store_le<uint64_t>(file.data(), header.size());
  return file + header + std::string(n_data_bytes, '\1');
}

std::string image_of_length(uint64_t length, size_t n_more) {
  std::string file(8, '\0');
  store_le<uint64_t>(file.data(), length);
  return file + std::string(n_more, ' ');
}

Result<SafetensorsHeader> parse(const std::string& file) {
  return parse_safetensors_header(std::as_bytes(std::span(file)), "test.safetensors");
}

// One tensor "a" with the given fields.
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return fmt::format(R"({{"a":{{"dtype":"{}","shape":{},"data_offsets":{}}}}})", dtype, shape,
                     offsets);
}

std::string two(const std::string& first, const std::string& second) {
  return fmt::format(R"({{"a":{{"dtype":"U8","shape":[4],"data_offsets":{}}},)"
                     R"("b":{{"dtype":"U8","shape":[4],"data_offsets":{}}}}})",
                     first, second);
}

struct BadFile {
  const char* name;
  std::string file;
  ErrorCode code;
  const char* says;
};

void PrintTo(const BadFile& bad, std::ostream* out) { *out << bad.name; }

class BadSafetensors : public testing::TestWithParam<BadFile> {};

TEST_P(BadSafetensors, IsAClearError) {
  const auto start = std::chrono::steady_clock::now();
  const auto header = parse(GetParam().file);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code, GetParam().code) << header.error().to_string();
  EXPECT_THAT(header.error().message, HasSubstr(GetParam().says));
  EXPECT_EQ(header.error().subject, "test.safetensors");
  EXPECT_LT(header.error().message.size(), 1000u);
  EXPECT_LT(took.count(), 20.0);
}

constexpr auto kCorrupt = ErrorCode::kCorrupt;
constexpr auto kLimit = ErrorCode::kLimit;
const std::string kGood = R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})";

std::string nested(size_t depth) {
  return R"({"a":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
}

std::string rank(size_t n) {
  std::string shape = "[1";
  for (size_t i = 1; i < n; ++i) shape += ",1";
  return one("U8", shape + "]", "[0,1]");
}

INSTANTIATE_TEST_SUITE_P(
    Lengths, BadSafetensors,
    testing::Values(
        BadFile{"empty", "", kCorrupt, "0 bytes long"},
        BadFile{"seven", std::string(7, '\0'), kCorrupt, "7 bytes long"},
        BadFile{"eight_header_0", image_of_length(0, 0), kCorrupt, "does not begin"},
        BadFile{"nine_header_2", image_of_length(2, 1), kCorrupt, "is cut short"},
        BadFile{"header_0", image_of_length(0, 100), kCorrupt, "does not begin"},
        BadFile{"header_2_63", image_of_length(uint64_t{1} << 63, 100), kLimit, "at most"},
        BadFile{"header_2_64", image_of_length(~uint64_t{0}, 100), kLimit, "at most"},
        BadFile{"header_size_minus_7", image_of_length(101, 100), kCorrupt, "is cut short"},
        BadFile{"header_100_mb", image_of_length(100'000'001, 100), kLimit, "100000000"},
        BadFile{"header_100_mb_exactly", image_of_length(100'000'000, 100), kCorrupt,
                "is cut short"}));

INSTANTIATE_TEST_SUITE_P(
    Texts, BadSafetensors,
    testing::Values(
        BadFile{"not_utf8", image("{\"a\xff\":{\"dtype\":\"U8\"}}", 0), kCorrupt, "not valid JSON"},
        BadFile{"array", image("[]", 0), kCorrupt, "does not begin"},
        BadFile{"number", image("12", 0), kCorrupt, "does not begin"},
        BadFile{"cut_json", image("{\"a\":", 0), kCorrupt, "not valid JSON"},
        BadFile{"two_documents", image("{}{}", 0), kCorrupt, "not valid JSON"},
        BadFile{"trailing_nul", image(kGood + std::string(3, '\0'), 4), kCorrupt, "NUL"},
        BadFile{"bom", image("\xEF\xBB\xBF" + kGood, 4), kCorrupt, "does not begin"},
        BadFile{"leading_space", image(" " + kGood, 4), kCorrupt, "does not begin"},
        BadFile{"depth_10000", image(nested(10'000), 0), kLimit, "nested"},
        BadFile{"duplicate_names",
                image(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                      R"("a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                      8),
                kCorrupt, "twice"},
        BadFile{"duplicate_fields",
                image(R"({"a":{"dtype":"U8","shape":[4],"shape":[4],"data_offsets":[0,4]}})", 4),
                kCorrupt, "shape twice"},
        BadFile{"entry_not_object", image(R"({"a":5})", 0), kCorrupt, "not an object"},
        BadFile{"entry_null", image(R"({"a":null})", 0), kCorrupt, "not an object"},
        BadFile{"entry_array", image(R"({"a":[1]})", 0), kCorrupt, "not an object"},
        BadFile{"no_dtype", image(R"({"a":{"shape":[4],"data_offsets":[0,4]}})", 4), kCorrupt,
                "lacks dtype"},
        BadFile{"no_shape", image(R"({"a":{"dtype":"U8","data_offsets":[0,4]}})", 4), kCorrupt,
                "lacks shape"},
        BadFile{"no_offsets", image(R"({"a":{"dtype":"U8","shape":[4]}})", 4), kCorrupt,
                "lacks data_offsets"},
        BadFile{"metadata_number", image(R"({"__metadata__":{"x":1}})", 0), kCorrupt,
                "not a string"},
        BadFile{"metadata_null", image(R"({"__metadata__":{"x":null}})", 0), kCorrupt,
                "not a string"},
        BadFile{"metadata_object", image(R"({"__metadata__":{"x":{}}})", 0), kCorrupt,
                "not a string"},
        BadFile{"metadata_list", image(R"({"__metadata__":[]})", 0), kCorrupt, "not an object"},
        BadFile{"metadata_twice", image(R"({"__metadata__":{},"__metadata__":{}})", 0), kCorrupt,
                "__metadata__ twice"},
        BadFile{"long_name", image("{\"" + std::string(1 << 20, 'n') + "\":5}", 0), kCorrupt,
                "not an object"}));

INSTANTIATE_TEST_SUITE_P(
    Offsets, BadSafetensors,
    testing::Values(
        BadFile{"reversed", image(one("U8", "[4]", "[4,0]"), 4), kCorrupt, "the end before"},
        BadFile{"negative", image(one("U8", "[4]", "[-4,0]"), 4), kCorrupt, "negative"},
        BadFile{"fractional", image(one("U8", "[4]", "[0.5,4]"), 4), kCorrupt, "not a whole"},
        BadFile{"huge", image(one("U8", "[4]", "[0,1e300]"), 4), kCorrupt, "not a whole"},
        BadFile{"beyond_64_bits", image(one("U8", "[4]", "[0,18446744073709551616]"), 4), kCorrupt,
                "not a whole"},
        BadFile{"three", image(one("U8", "[4]", "[0,4,8]"), 8), kCorrupt, "more than two"},
        BadFile{"single", image(one("U8", "[4]", "[0]"), 8), kCorrupt, "fewer than two"},
        BadFile{"text", image(one("U8", "[4]", R"(["0","4"])"), 4), kCorrupt, "data_offsets"},
        BadFile{"overlapping", image(two("[0,4]", "[2,6]"), 6), kCorrupt, "overlap"},
        BadFile{"same_place", image(two("[0,4]", "[0,4]"), 4), kCorrupt, "overlap"},
        BadFile{"gap", image(two("[0,4]", "[6,10]"), 10), kCorrupt, "gaps"},
        BadFile{"gap_at_front", image(one("U8", "[4]", "[4,8]"), 8), kCorrupt, "gaps"},
        BadFile{"past_end", image(one("U8", "[4]", "[0,4]"), 3), kCorrupt, "is cut short"},
        BadFile{"far_past_end",
                image(one("U8", "[18446744073709551615]", "[0,18446744073709551615]"), 3), kCorrupt,
                "is cut short"},
        BadFile{"not_covering", image(one("U8", "[4]", "[0,4]"), 5), kCorrupt, "cover 4 bytes"},
        BadFile{"no_tensors_but_data", image("{}", 5), kCorrupt, "cover 0 bytes"}));

INSTANTIATE_TEST_SUITE_P(
    Shapes, BadSafetensors,
    testing::Values(
        BadFile{"mismatch", image(one("F32", "[2]", "[0,4]"), 4), kCorrupt, "does not fill"},
        BadFile{"zero_mismatch", image(one("F32", "[0]", "[0,4]"), 4), kCorrupt, "does not fill"},
        BadFile{"product_wraps", image(one("U8", "[4294967296,4294967296]", "[0,0]"), 0), kCorrupt,
                "does not fill"},
        BadFile{"bytes_wrap", image(one("F32", "[4611686018427387905]", "[0,4]"), 4), kCorrupt,
                "does not fill"},
        BadFile{"rank_100", image(rank(100), 1), kLimit, "dimensions"},
        BadFile{"negative_size", image(one("U8", "[-4]", "[0,4]"), 4), kCorrupt, "negative"},
        BadFile{"fractional_size", image(one("U8", "[4.0]", "[0,4]"), 4), kCorrupt, "not a whole"},
        BadFile{"nested_shape", image(one("U8", "[[4]]", "[0,4]"), 4), kCorrupt, "wrong kind"},
        BadFile{"shape_text", image(one("U8", "\"4\"", "[0,4]"), 4), kCorrupt, "wrong kind"},
        BadFile{"shape_object", image(one("U8", "{}", "[0,4]"), 4), kCorrupt, "wrong kind"},
        BadFile{"unknown_dtype", image(one("F12", "[4]", "[0,4]"), 4), ErrorCode::kUnsupported,
                "F12"},
        BadFile{"fp4_dtype", image(one("F4", "[8]", "[0,4]"), 4), ErrorCode::kUnsupported, "F4"},
        BadFile{"dtype_number", image(R"({"a":{"dtype":5,"shape":[4],"data_offsets":[0,4]}})", 4),
                kCorrupt, "dtype of the wrong kind"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Safetensors, AcceptsTheUnusual) {
  const auto scalar = parse(image(one("F32", "[]", "[0,4]") + "   ", 4));
  ASSERT_TRUE(scalar) << scalar.error().to_string();
  EXPECT_EQ(scalar->entries.at(0).shape, Shape{});
  const auto empty = parse(image(one("F32", "[3,0,7]", "[0,0]"), 0));
  ASSERT_TRUE(empty) << empty.error().to_string();
  const auto none = parse(image("{}", 0));
  ASSERT_TRUE(none) << none.error().to_string();
  const auto extra = parse(image(
      R"({"a":{"dtype":"U8","x":{"y":[1,{"z":-1.5}]},"shape":[4],"n":null,"data_offsets":[0,4]}})",
      4));
  ASSERT_TRUE(extra) << extra.error().to_string();
  EXPECT_EQ(extra->entries.at(0).n_bytes, 4u);
  const auto unordered = parse(image(two("[4,8]", "[0,4]"), 8));
  ASSERT_TRUE(unordered) << unordered.error().to_string();
  EXPECT_EQ(unordered->entries.at(0).name, "b");
  EXPECT_EQ(unordered->find("a")->offset, 4u);
  EXPECT_EQ(unordered->find("c"), nullptr);
}

TEST(Safetensors, ReadsAMillionEntriesAndNoMore) {
  std::string header = "{";
  for (size_t i = 0; i < kMaxSafetensorsEntries; ++i) {
    header += fmt::format(R"("t{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}},)", i);
  }
  std::string full = header;
  full.back() = '}';
  const auto parsed = parse(image(full, 0));
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  EXPECT_EQ(parsed->entries.size(), kMaxSafetensorsEntries);
  EXPECT_NE(parsed->find("t999999"), nullptr);
  header += R"("more":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})";
  const auto over = parse(image(header, 0));
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, ErrorCode::kLimit);
}

TEST(SafetensorsFile, SaysSoWhenTruncatedWhileMapped) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("big.safetensors");
  constexpr size_t kBytes = size_t{1} << 20;
  std::ofstream(path, std::ios::binary) << image(one("U8", "[1048576]", "[0,1048576]"), kBytes);
  const auto file = SafetensorsFile::open(path);
  ASSERT_TRUE(file) << file.error().to_string();
  ASSERT_EQ(::truncate(path.c_str(), 4096), 0);
  const TensorView view = file->view(file->header().entries.at(0));
  EXPECT_EQ(view.bytes[kBytes - 1], std::byte{0});
  const Status intact = file->intact();
  ASSERT_FALSE(intact);
  EXPECT_EQ(intact.error().code, ErrorCode::kIo);
  EXPECT_EQ(intact.error().subject, path);
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

TEST(SafetensorsWriter, RoundTripsInAnyOrderAndAligned) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("x.safetensors");
  const std::vector<SafetensorsDeclaration> declarations = {
      {"odd \"name\" \xC3\xA9", DType::kU8, {3}},
      {"half", DType::kBF16, {3}},
      {"empty", DType::kF32, {0, 5}},
      {"float", DType::kF32, {1}},
      {"wide", DType::kI64, {2}},
  };
  auto writer = SafetensorsWriter::create(path, declarations);
  ASSERT_TRUE(writer) << writer.error().to_string();
  ASSERT_TRUE(writer->write(4, bytes_of("0123456789abcdef")));
  ASSERT_TRUE(writer->write(1, bytes_of("AB")));
  ASSERT_TRUE(writer->write(0, bytes_of("xyz")));
  ASSERT_TRUE(writer->write(1, bytes_of("CDEF")));
  ASSERT_TRUE(writer->write(3, bytes_of("flt!")));
  ASSERT_TRUE(writer->finish());
  const auto file = SafetensorsFile::open(path);
  ASSERT_TRUE(file) << file.error().to_string();
  EXPECT_EQ(file->header().data_offset % 8, 0u);
  EXPECT_EQ(file->header().data_offset, *safetensors_header_bytes(declarations));
  EXPECT_EQ(file->header().metadata.at("format"), "pt");
  EXPECT_EQ(file->header().entries.size(), declarations.size());
  for (const SafetensorsDeclaration& declared : declarations) {
    const SafetensorsEntry* entry = file->header().find(declared.name);
    ASSERT_NE(entry, nullptr) << declared.name;
    EXPECT_EQ(entry->dtype, declared.dtype);
    EXPECT_EQ(entry->shape, declared.shape);
    EXPECT_EQ(entry->offset % dtype_bytes(entry->dtype), 0u) << declared.name;
  }
  const TensorView half = file->view(*file->header().find("half"));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(half.bytes.data()), half.bytes.size()),
            "ABCDEF");
}

TEST(SafetensorsWriter, RefusesWhatCannotBe) {
  const test::TemporaryFolder folder;
  const auto twice =
      SafetensorsWriter::create(folder.path("x"), {{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::kInvalidArgument);
  const auto wide =
      SafetensorsWriter::create(folder.path("x"), {{"a", DType::kF32, {uint64_t{1} << 63}}});
  ASSERT_FALSE(wide);
  EXPECT_EQ(wide.error().code, ErrorCode::kInvalidArgument);
  const auto nowhere = SafetensorsWriter::create(folder.path("no/x"), {});
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace nibble

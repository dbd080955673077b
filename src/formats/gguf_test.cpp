// GGUF headers: a round trip of every value kind, and everything a broken file can claim.
#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/test_data.h"

namespace nibble {
namespace {

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void put_string(std::string& out, const std::string& text) {
  put<uint64_t>(out, text.size());
  out += text;
}

std::string preamble(uint64_t n_tensors, uint64_t n_fields, uint32_t version = 3) {
  std::string out = "GGUF";
  put(out, version);
  put(out, n_tensors);
  put(out, n_fields);
  return out;
}

std::string one_tensor(uint32_t n_dims, std::vector<uint64_t> dims, uint32_t type, uint64_t offset,
                       size_t n_data_bytes) {
  std::string out = preamble(1, 0);
  put_string(out, "t");
  put(out, n_dims);
  for (const uint64_t d : dims) put(out, d);
  put(out, type);
  put(out, offset);
  out.resize((out.size() + 31) / 32 * 32);
  out.resize(out.size() + n_data_bytes);
  return out;
}

Result<GgufHeader> parse(const std::string& bytes) {
  return parse_gguf_header(std::as_bytes(std::span(bytes)), "test.gguf");
}

TEST(Gguf, RoundTripsEveryKind) {
  const test::TemporaryFolder folder;
  const std::vector<GgufField> fields = {
      {"u8", uint8_t{200}},
      {"i8", int8_t{-3}},
      {"u16", uint16_t{65000}},
      {"i16", int16_t{-3000}},
      {"u32", uint32_t{4000000000u}},
      {"i32", int32_t{-5}},
      {"f32", 1.5f},
      {"yes", true},
      {"text", std::string("h\xC3\xA9llo")},
      {"list", GgufArray(std::vector<std::string>{"a", "", "ccc"})},
      {"flags", GgufArray(std::vector<bool>{true, false, true})},
      {"sections", GgufArray(std::vector<int32_t>{11, 11, 10, 0})},
      {"u64", uint64_t{1} << 60},
      {"i64", int64_t{-1}},
      {"f64", 2.25},
  };
  std::vector<GgufTensor> tensors = {{"a.weight", GgufType::kBF16, {3, 5}},
                                     {"b.weight", GgufType::kNvfp4, {2, 64}},
                                     {"empty", GgufType::kF32, {0}}};
  auto writer = GgufWriter::create(folder.path("x.gguf"), fields, tensors);
  ASSERT_TRUE(writer) << writer.error().to_string();
  const std::string a(30, 'a');
  const std::string b(72, 'b');
  ASSERT_TRUE(writer->write(std::as_bytes(std::span(a).first(7))));
  ASSERT_TRUE(writer->write(std::as_bytes(std::span(a).subspan(7))));
  ASSERT_TRUE(writer->write(std::as_bytes(std::span(b))));
  ASSERT_TRUE(writer->write({}));
  ASSERT_TRUE(writer->finish());

  const auto file = GgufFile::open(folder.path("x.gguf"));
  ASSERT_TRUE(file) << file.error().to_string();
  EXPECT_EQ(file->file().bytes().size(), writer->total_bytes());
  const GgufHeader& header = file->header();
  ASSERT_EQ(header.fields.size(), fields.size());
  for (size_t i = 0; i < fields.size(); ++i) {
    EXPECT_EQ(header.fields[i].key, fields[i].key);
    EXPECT_TRUE(header.fields[i].value == fields[i].value) << fields[i].key;
  }
  ASSERT_EQ(header.tensors.size(), 3u);
  EXPECT_EQ(header.tensors[0].shape, (Shape{3, 5}));
  EXPECT_EQ(std::memcmp(file->bytes(header.tensors[1]).data(), b.data(), b.size()), 0);
}

TEST(Gguf, RefusesBrokenPreambles) {
  EXPECT_EQ(parse("").error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(parse("GGUF").error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(parse("GGML" + preamble(0, 0).substr(4)).error().code, ErrorCode::kCorrupt);
  for (const uint32_t version : {0u, 1u, 99u, 0x03000000u}) {
    EXPECT_EQ(parse(preamble(0, 0, version)).error().code, ErrorCode::kUnsupported);
  }
  EXPECT_EQ(parse(preamble(uint64_t{1} << 31, 0)).error().code, ErrorCode::kLimit);
  EXPECT_EQ(parse(preamble(uint64_t{1} << 63, 0)).error().code, ErrorCode::kLimit);
  EXPECT_EQ(parse(preamble(0, ~uint64_t{0})).error().code, ErrorCode::kLimit);
  EXPECT_EQ(parse(preamble(3, 3)).error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(parse(preamble(0, 0)));
}

TEST(Gguf, RefusesBrokenFields) {
  auto field = [](uint32_t kind, const std::string& value, const std::string& key = "k") {
    std::string out = preamble(0, 1);
    put_string(out, key);
    put(out, kind);
    return out + value;
  };
  auto array = [](uint32_t kind, uint64_t n) {
    std::string out;
    put(out, kind);
    put(out, n);
    return out;
  };
  std::string huge_string;
  put(huge_string, ~uint64_t{0});
  EXPECT_FALSE(parse(field(8, huge_string)));
  EXPECT_FALSE(parse(field(13, "12345678")));
  EXPECT_FALSE(parse(field(7, "\x02")));
  EXPECT_FALSE(parse(field(9, array(4, uint64_t{1} << 62))));
  EXPECT_FALSE(parse(field(9, array(8, 1000))));
  EXPECT_FALSE(parse(field(9, array(9, 10000))));
  EXPECT_FALSE(parse(field(9, array(77, 0))));
  EXPECT_TRUE(parse(field(9, array(4, 0)) + std::string(32, '\0')));
  std::string twice = preamble(0, 2);
  for (int i = 0; i < 2; ++i) {
    put_string(twice, "same");
    put<uint32_t>(twice, 0);
    twice += 'x';
  }
  EXPECT_FALSE(parse(twice));
  for (const uint32_t alignment : {0u, 3u, 0x80000000u}) {
    std::string value;
    put(value, alignment);
    EXPECT_FALSE(parse(field(4, value, "general.alignment"))) << alignment;
  }
}

TEST(Gguf, RefusesBrokenTensors) {
  EXPECT_TRUE(parse(one_tensor(1, {8}, 0, 0, 32)));
  EXPECT_FALSE(parse(one_tensor(0, {}, 0, 0, 32)));
  EXPECT_FALSE(parse(one_tensor(5, {1, 1, 1, 1, 1}, 0, 0, 32)));
  EXPECT_FALSE(parse(one_tensor(1, {9}, 0, 0, 32)));
  EXPECT_FALSE(parse(one_tensor(1, {8}, 0, 4, 36)));
  EXPECT_FALSE(parse(one_tensor(1, {8}, 0, ~uint64_t{31}, 32)));
  EXPECT_FALSE(parse(one_tensor(2, {uint64_t{1} << 33, uint64_t{1} << 33}, 0, 0, 32)));
  EXPECT_FALSE(parse(one_tensor(1, {uint64_t{1} << 63}, 0, 0, 32)));
  EXPECT_FALSE(parse(one_tensor(1, {100}, 12, 0, 4096)));
  EXPECT_EQ(parse(one_tensor(1, {8}, 255, 0, 32)).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(parse(one_tensor(1, {8}, ~0u, 0, 32)).error().code, ErrorCode::kUnsupported);
}

TEST(Gguf, EveryTruncationIsAnError) {
  const std::string whole = one_tensor(2, {4, 2}, 0, 0, 32);
  ASSERT_TRUE(parse(whole));
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(parse(whole.substr(0, n))) << n;
}

}  // namespace
}  // namespace nibble

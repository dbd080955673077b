// Tensors: sizes, names of types, widening, finding what is not finite.
#include "tensor/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "numbers/bf16.h"
#include "numbers/e4m3.h"
#include "tensor/quantized_matrix.h"

namespace nibble {
namespace {

template <typename T>
TensorView view_of(DType dtype, const std::vector<T>& values) {
  return {dtype, {values.size()}, std::as_bytes(std::span(values))};
}

TEST(DTypes, NamesAndSizesAgree) {
  const std::pair<const char*, size_t> expected[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
      {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},
      {"I32", 4},  {"F32", 4}, {"U64", 8}, {"I64", 8},     {"F64", 8}};
  for (const auto& [name, n_bytes] : expected) {
    const auto dtype = dtype_from_name(name);
    ASSERT_TRUE(dtype) << name;
    EXPECT_EQ(dtype_name(*dtype), name);
    EXPECT_EQ(dtype_bytes(*dtype), n_bytes) << name;
  }
  for (const char* name : {"", "F", "f32", "F32 ", "F4", "F8"}) {
    EXPECT_FALSE(dtype_from_name(name)) << name;
  }
}

TEST(Shapes, CountElements) {
  EXPECT_EQ(n_elements({}), 1u);
  EXPECT_EQ(n_elements({3, 4}), 12u);
  EXPECT_EQ(n_elements({3, 0, uint64_t{1} << 40}), 0u);
  EXPECT_EQ(n_elements({uint64_t{1} << 32, uint64_t{1} << 31}), uint64_t{1} << 63);
  EXPECT_FALSE(n_elements({uint64_t{1} << 32, uint64_t{1} << 32}));
  EXPECT_EQ(shape_text({8192, 4096}), "[8192, 4096]");
  EXPECT_EQ(shape_text({}), "[]");
}

TEST(Tensor, OwnsAlignedZeros) {
  auto tensor = Tensor::zeros(DType::kF32, {3, 5});
  ASSERT_TRUE(tensor);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor->bytes().data()) % 64, 0u);
  EXPECT_EQ(tensor->bytes().size(), 60u);
  EXPECT_THAT(tensor->as<float>(), testing::Each(0.0f));
  tensor->as<float>()[14] = 2.5f;
  const Tensor moved = std::move(*tensor);
  EXPECT_EQ(moved.view().shape, (Shape{3, 5}));
  EXPECT_EQ(moved.view().bytes.size(), 60u);
  const auto empty = Tensor::zeros(DType::kU8, {0});
  ASSERT_TRUE(empty);
  EXPECT_TRUE(empty->bytes().empty());
}

TEST(Tensor, RefusesImpossibleSizes) {
  for (const Shape& shape : {Shape{uint64_t{1} << 40, uint64_t{1} << 40}, Shape{~uint64_t{0}},
                             Shape{uint64_t{1} << 61}}) {
    const auto tensor = Tensor::zeros(DType::kF32, shape);
    ASSERT_FALSE(tensor);
    EXPECT_EQ(tensor.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(ToF32, WidensEveryFloat) {
  const std::vector<float> expected = {1.5f, -0.25f, 0.0f, -448.0f};
  std::vector<uint16_t> bf16;
  std::vector<uint16_t> f16;
  std::vector<uint8_t> e4m3;
  std::vector<double> f64;
  for (const float value : expected) {
    bf16.push_back(f32_to_bf16(value));
    f16.push_back(f32_to_f16(value));
    e4m3.push_back(f32_to_e4m3(value));
    f64.push_back(value);
  }
  for (const TensorView& view :
       {view_of(DType::kF32, expected), view_of(DType::kBF16, bf16), view_of(DType::kF16, f16),
        view_of(DType::kF8E4M3, e4m3), view_of(DType::kF64, f64)}) {
    std::vector<float> out(4);
    ASSERT_TRUE(to_f32(view, out)) << dtype_name(view.dtype);
    EXPECT_EQ(out, expected) << dtype_name(view.dtype);
    std::vector<float> wrong(3);
    EXPECT_FALSE(to_f32(view, wrong));
  }
  std::vector<float> out(4);
  const Status integers = to_f32(view_of(DType::kI32, std::vector<int32_t>{1, 2, 3, 4}), out);
  ASSERT_FALSE(integers);
  EXPECT_EQ(integers.error().code, ErrorCode::kInvalidArgument);
}

TEST(ToF32, ReadsUnalignedBytes) {
  std::vector<std::byte> bytes(9);
  const float value = 3.25f;
  std::memcpy(bytes.data() + 1, &value, 4);
  std::memcpy(bytes.data() + 5, &value, 4);
  std::vector<float> out(2);
  ASSERT_TRUE(to_f32({DType::kF32, {2}, std::span(bytes).subspan(1)}, out));
  EXPECT_THAT(out, testing::ElementsAre(3.25f, 3.25f));
}

TEST(FirstNotFinite, FindsTheFirst) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(first_not_finite(view_of(DType::kF32, std::vector<float>{1.0f, -2.0f})));
  EXPECT_EQ(first_not_finite(view_of(DType::kF32, std::vector<float>{1.0f, -kInfinity, kInfinity})),
            1u);
  EXPECT_EQ(first_not_finite(view_of(DType::kBF16, std::vector<uint16_t>{0, 0x7f80})), 1u);
  EXPECT_EQ(first_not_finite(view_of(DType::kF16, std::vector<uint16_t>{0x7e00})), 0u);
  EXPECT_EQ(first_not_finite(view_of(DType::kF8E4M3, std::vector<uint8_t>{0x7e, 0, 0xff})), 2u);
  EXPECT_FALSE(first_not_finite(view_of(DType::kI32, std::vector<int32_t>{-1})));
}

TEST(QuantizedMatrix, DecodesAnyRows) {
  QuantizedMatrix matrix;
  matrix.rows = 3;
  matrix.cols = 32;
  matrix.tensor_scale = 0.5f;
  matrix.codes.assign(3 * 16, 0);
  matrix.scales.assign(3 * 2, kE4m3One);
  matrix.codes[2 * 16 + 8] = 0xf2;  // row 2, columns 16 and 17
  matrix.scales[2 * 2 + 1] = 0x40;  // 2
  std::vector<float> rows(2 * 32);
  dequantize_rows(matrix.view(), 1, 2, rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i], i == 48 ? 1.0f : i == 49 ? -6.0f : 0.0f) << i;
  }
  EXPECT_EQ(nvfp4_bytes(3, 32), 3u * 16 + 3 * 2);
}

}  // namespace
}  // namespace nibble

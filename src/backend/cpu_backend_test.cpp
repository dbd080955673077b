// Choosing an implementation, memory, and the ops that only move data.
#include "backend/cpu_backend.h"

#include "backend/backend_test_fixture.h"

namespace nibble {
namespace {

TEST(CpuBackend, NamesWhatRuns) {
  for (const std::string& name : test::supported_implementations()) {
    EXPECT_EQ(test::make_backend(name, 2)->description(), "cpu (" + name + ", 2 threads)");
    EXPECT_EQ(test::make_backend(name, 1)->description(), "cpu (" + name + ", 1 thread)");
  }
}

TEST(CpuBackend, DefaultIsTheLastSupported) {
  const auto names = test::supported_implementations();
  ASSERT_FALSE(names.empty());
  EXPECT_EQ(names.front(), "scalar");
  EXPECT_NE(test::make_backend("")->description().find(names.back()), std::string::npos);
}

TEST(CpuBackend, RefusesUnknownAndUnsupportedNames) {
  const auto unknown = make_cpu_backend({1, "sse9"});
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(unknown.error().message.find("scalar"), std::string::npos);
  for (const CpuImplementationInfo& info : cpu_implementations()) {
    const auto made = make_cpu_backend({1, std::string(info.name)});
    EXPECT_EQ(made.has_value(), info.supported);
    if (!made.has_value()) {
      EXPECT_EQ(made.error().code, ErrorCode::kUnsupported);
    }
  }
}

TEST(CpuBackend, MemoryIsZeroedAlignedAndCopied) {
  const auto backend = test::make_backend("");
  for (const size_t n_bytes : {size_t{0}, size_t{1}, size_t{4096}, size_t{3} << 20}) {
    auto buffer = backend->allocate(n_bytes);
    ASSERT_TRUE(buffer.has_value());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % 64, 0u);
    EXPECT_EQ(buffer->n_bytes(), n_bytes);
    std::vector<unsigned char> host(n_bytes, 1);
    backend->download(buffer->data(), n_bytes, host.data());
    for (const unsigned char byte : host) ASSERT_EQ(byte, 0);
    std::fill(host.begin(), host.end(), 9);
    backend->upload(host.data(), n_bytes, buffer->data());
    backend->zero(buffer->data(), n_bytes / 2);
    backend->download(buffer->data(), n_bytes, host.data());
    for (size_t i = 0; i < n_bytes; ++i) ASSERT_EQ(host[i], i < n_bytes / 2 ? 0 : 9);
  }
  const auto refused = backend->allocate(SIZE_MAX / 2);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
}

TEST(CpuBackend, GathersRowsAndAppendsToCaches) {
  const auto backend = test::make_backend("");
  const auto x = test::random_values(5 * 3, 1);
  std::vector<float> out(3 * 3);
  const std::vector<int32_t> rows = {4, 0, 4};
  backend->gather_rows(x.data(), rows, 3, out.data());
  for (size_t i = 0; i < 3; ++i) {
    for (size_t c = 0; c < 3; ++c)
      EXPECT_EQ(out[i * 3 + c], x[static_cast<size_t>(rows[i]) * 3 + c]);
  }

  const size_t heads = 2, dim = 3, tokens = 2, capacity = 6, first = 3;
  const auto k = test::random_values(tokens * heads * dim, 2);
  const auto v = test::random_values(tokens * heads * dim, 3);
  std::vector<float> k_cache(heads * capacity * dim, 0.0f);
  std::vector<float> v_cache(heads * capacity * dim, 0.0f);
  backend->kv_append(
      {k.data(), v.data(), tokens, heads, dim, first, capacity, k_cache.data(), v_cache.data()});
  for (size_t h = 0; h < heads; ++h) {
    for (size_t p = 0; p < capacity; ++p) {
      for (size_t i = 0; i < dim; ++i) {
        const size_t at = (h * capacity + p) * dim + i;
        const bool written = p >= first && p < first + tokens;
        const size_t from = ((p - first) * heads + h) * dim + i;
        EXPECT_EQ(k_cache[at], written ? k[from] : 0.0f);
        EXPECT_EQ(v_cache[at], written ? v[from] : 0.0f);
      }
    }
  }
}

}  // namespace
}  // namespace nibble

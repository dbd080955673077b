// What the tests of plan, pipeline and verification share: the bundled model, and ways to damage
// copies of it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "core/bytes.h"
#include "core/file.h"
#include "core/json.h"
#include "quantize/quantize.h"
#include "tests/test_data.h"

namespace nibble::test {

namespace fs = std::filesystem;

inline std::string nano() { return source_path("models/nano"); }

inline QuantizeJob nano_job(const std::string& destination, const std::string& method = "rtn") {
  QuantizeJob job;
  job.source = nano();
  job.destination = destination;
  job.method = method;
  job.n_threads = 2;
  return job;
}

/// Plans and runs. The test fails where that does.
inline QuantizeReport quantized(const QuantizeJob& job) {
  const auto plan = make_plan(job);
  EXPECT_TRUE(plan.has_value()) << plan.error().to_string();
  if (!plan) return {};
  auto report = run_quantize(job, *plan);
  EXPECT_TRUE(report.has_value()) << report.error().to_string();
  return report ? *report : QuantizeReport{};
}

/// Plans and runs a job that must fail, and returns its error.
inline Error failure(const QuantizeJob& job) {
  const auto plan = make_plan(job);
  if (!plan) return plan.error();
  const auto report = run_quantize(job, *plan);
  EXPECT_FALSE(report.has_value());
  return report ? Error(ErrorCode::kInvalidArgument, "it worked") : report.error();
}

inline void copy_folder(const std::string& from, const std::string& to) {
  fs::copy(from, to, fs::copy_options::recursive);
}

/// Where a stored tensor lies: its file and the place of its first byte there.
struct StoredPlace {
  std::string path;
  uint64_t offset = 0;
  uint64_t n_bytes = 0;
};

/// Finds a tensor by its stored name in the shards of a folder.
inline StoredPlace place_of(const std::string& folder, const std::string& stored_name) {
  for (const auto& file : fs::directory_iterator(folder)) {
    if (file.path().extension() != ".safetensors") continue;
    const auto bytes = read_file(file.path().string());
    EXPECT_TRUE(bytes.has_value());
    const auto n_header = load_le<uint64_t>(bytes->data());
    const Json header = Json::parse(bytes->substr(8, n_header));
    const auto at = header.find(stored_name);
    if (at == header.end()) continue;
    const uint64_t begin = (*at)["data_offsets"][0];
    const uint64_t end = (*at)["data_offsets"][1];
    return {file.path().string(), 8 + n_header + begin, end - begin};
  }
  ADD_FAILURE() << stored_name << " is not in " << folder;
  return {};
}

/// Overwrites bytes of a stored tensor.
inline void overwrite(const StoredPlace& place, uint64_t at, std::string_view bytes) {
  std::fstream file(place.path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(place.offset + at));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  EXPECT_TRUE(file.good());
}

inline uint8_t byte_at(const StoredPlace& place, uint64_t at) {
  std::ifstream file(place.path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(place.offset + at));
  return static_cast<uint8_t>(file.get());
}

inline void set_byte(const StoredPlace& place, uint64_t at, uint8_t value) {
  const char byte = static_cast<char>(value);
  overwrite(place, at, {&byte, 1});
}

}  // namespace nibble::test

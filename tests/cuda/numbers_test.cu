// Compares the number formats on the device with the same code on the host, bit for bit: every
// code, every bf16 and f16 word, a sweep over the floats, and NVFP4 blocks. Exits with 77 (skipped)
// where there is no device.
#include <cuda_runtime.h>

#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "numbers/bf16.h"
#include "numbers/e2m1.h"
#include "numbers/e4m3.h"
#include "numbers/nvfp4.h"

namespace {

/// Words that one index gives: four encoders, four decoders, one NVFP4 block with its scales.
constexpr size_t kWords = 14;
/// Steps over all floats: odd, so that every low bit pattern occurs.
constexpr uint32_t kFloatStep = 65537;
constexpr size_t kIndices = 65536;

NIBBLE_HD void compute(uint32_t index, uint32_t* words) {
  const auto low = static_cast<uint16_t>(index);
  const auto byte = static_cast<uint8_t>(index);
  const float value = std::bit_cast<float>(index * kFloatStep);
  words[0] = nibble::f32_to_bf16(value);
  words[1] = nibble::f32_to_f16(value);
  words[2] = nibble::f32_to_e4m3(value);
  words[3] = nibble::f32_to_e2m1(value);
  words[4] = std::bit_cast<uint32_t>(nibble::bf16_to_f32(low));
  words[5] = std::bit_cast<uint32_t>(nibble::f16_to_f32(low));
  words[6] = std::bit_cast<uint32_t>(nibble::e4m3_to_f32(byte));
  words[7] = std::bit_cast<uint32_t>(nibble::e2m1_to_f32(byte));

  float block[nibble::kNvfp4BlockSize];
  float amax = 0.0f;
  for (size_t i = 0; i < nibble::kNvfp4BlockSize; ++i) {
    const uint32_t random = (index * 16u + static_cast<uint32_t>(i)) * 2654435761u;
    block[i] = static_cast<float>(static_cast<int32_t>(random)) * 0x1p-36f;
    const float magnitude = block[i] < 0.0f ? -block[i] : block[i];
    amax = magnitude > amax ? magnitude : amax;
  }
  const float tensor_scale = nibble::nvfp4_tensor_scale(0.0314f);
  const uint8_t scale = nibble::nvfp4_block_scale(amax, tensor_scale);
  uint8_t packed[nibble::kNvfp4BlockBytes];
  nibble::nvfp4_encode_block(block, scale, tensor_scale, packed);
  nibble::nvfp4_decode_block(packed, scale, tensor_scale, block);
  words[8] = std::bit_cast<uint32_t>(tensor_scale);
  words[9] = scale;
  words[10] = packed[0] | packed[1] << 8 | packed[2] << 16 | static_cast<uint32_t>(packed[3]) << 24;
  words[11] = packed[4] | packed[5] << 8 | packed[6] << 16 | static_cast<uint32_t>(packed[7]) << 24;
  words[12] = std::bit_cast<uint32_t>(block[0]);
  words[13] = std::bit_cast<uint32_t>(block[nibble::kNvfp4BlockSize - 1]);
}

__global__ void compute_all(uint32_t* words) {
  const uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
  if (index < kIndices) compute(index, words + index * kWords);
}

void require(cudaError_t status, const char* tried) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", tried, cudaGetErrorString(status));
  std::exit(1);
}

}  // namespace

int main() {
  int n_devices = 0;
  if (cudaGetDeviceCount(&n_devices) != cudaSuccess || n_devices == 0) {
    std::printf("no CUDA device here\n");
    return 77;
  }
  std::vector<uint32_t> on_device(kIndices * kWords);
  uint32_t* buffer = nullptr;
  const size_t n_bytes = on_device.size() * sizeof(uint32_t);
  require(cudaMalloc(&buffer, n_bytes), "allocating");
  compute_all<<<kIndices / 256, 256>>>(buffer);
  require(cudaGetLastError(), "launching");
  require(cudaMemcpy(on_device.data(), buffer, n_bytes, cudaMemcpyDeviceToHost), "copying back");
  require(cudaFree(buffer), "freeing");

  size_t n_different = 0;
  for (uint32_t index = 0; index < kIndices; ++index) {
    uint32_t words[kWords];
    compute(index, words);
    for (size_t i = 0; i < kWords; ++i) {
      const uint32_t found = on_device[index * kWords + i];
      if (found == words[i]) continue;
      if (++n_different <= 10) {
        std::printf("index %u word %zu: device %08x, host %08x\n", index, i, found, words[i]);
      }
    }
  }
  std::printf("%zu words compared, %zu different\n", on_device.size(), n_different);
  return n_different == 0 ? 0 : 1;
}

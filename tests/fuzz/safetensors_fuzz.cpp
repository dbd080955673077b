// Fuzzes the safetensors header: whatever is accepted must describe the file exactly.
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/check.h"
#include "formats/safetensors.h"
#include "tensor/tensor.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, size);
  const nibble::Result<nibble::SafetensorsHeader> header =
      nibble::parse_safetensors_header(std::as_bytes(bytes), "input");
  if (!header) return 0;
  uint64_t end = 0;
  for (const nibble::SafetensorsEntry& entry : header->entries) {
    CHECK(entry.offset == end);
    CHECK(nibble::n_elements(entry.shape).value() * nibble::dtype_bytes(entry.dtype) ==
          entry.n_bytes);
    CHECK(header->find(entry.name) == &entry);
    end += entry.n_bytes;
  }
  CHECK(header->data_offset + end == size);
  return 0;
}

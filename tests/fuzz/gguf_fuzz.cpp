// Fuzzes GGUF files: a header that is accepted must lie inside the file, and a file must open as a
// checkpoint or fail with an error, its tokenizer and its values included.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/check.h"
#include "formats/gguf.h"
#include "model/config.h"

namespace {

// Where the checkpoint under test lies: files are opened by name.
std::string file_name() { return "/tmp/nibble_gguf_fuzz_" + std::to_string(::getpid()) + ".gguf"; }

struct ScratchFile {
  std::string path = file_name();
  ~ScratchFile() { std::remove(path.c_str()); }
};

void open_checkpoint(const uint8_t* data, size_t size) {
  static const ScratchFile scratch;
  std::ofstream(scratch.path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  const auto opened = nibble::Checkpoint::open(scratch.path);
  if (!opened) return;
  const nibble::Checkpoint& checkpoint = **opened;
  for (const nibble::TensorInfo& tensor : checkpoint.tensors()) {
    CHECK(nibble::has_whole_bytes(checkpoint.matrix(tensor)));
    CHECK(tensor.n_bytes <= size);
    const auto n = nibble::n_elements(tensor.shape);
    CHECK(n.has_value() && !tensor.shape.empty());
    std::vector<float> row(*n / tensor.shape[0]);
    (void)checkpoint.read_rows_f32(tensor, tensor.shape[0] - 1, 1, row);
  }
  (void)nibble::parse_model_config(checkpoint.config(), "input");
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
    (void)checkpoint.side_file(name);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, size);
  const auto header = nibble::parse_gguf_header(std::as_bytes(bytes), "input");
  if (!header) return 0;
  CHECK(header->data_begin <= size || header->tensors.empty());
  for (const nibble::GgufTensor& tensor : header->tensors) {
    CHECK(tensor.offset <= size && tensor.n_bytes <= size - tensor.offset);
    CHECK(header->data_begin + tensor.offset + tensor.n_bytes <= size);
    CHECK(nibble::gguf_tensor_bytes(tensor.type, tensor.shape) == tensor.n_bytes);
  }
  open_checkpoint(data, size);
  return 0;
}

// Fuzzes config.json: whatever is accepted must give a tensor table whose sizes can be computed.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/check.h"
#include "core/json.h"
#include "model/config.h"
#include "model/tensor_table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const nibble::Result<nibble::Json> json = nibble::parse_json(text, "input");
  if (!json) return 0;
  const nibble::Result<nibble::ModelConfig> config = nibble::parse_model_config(*json, "input");
  if (!config) return 0;
  CHECK(config->layer_kinds.size() == static_cast<size_t>(config->n_layers));
  if (config->n_layers > 1000) return 0;  // valid, but slow to list
  for (const nibble::TensorSpec& spec : nibble::tensor_table(*config)) {
    CHECK(nibble::n_elements(spec.shape).has_value());
  }
  return 0;
}

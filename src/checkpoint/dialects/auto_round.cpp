// AutoRound's own export, packed as llm-compressor packs NVFP4: only the description differs.
#include "checkpoint/dialects/compressed_tensors_parts.h"
#include "checkpoint/dialects/dialect.h"
#include "checkpoint/dialects/read_descriptions.h"

namespace nibble {
namespace {

bool recognises(const StoredFolder& folder) {
  if (folder.place != DescriptionPlace::kConfig) return false;
  const auto method = folder.description.find("quant_method");
  return method != folder.description.end() && *method == "auto-round";
}

Result<std::vector<CanonicalTensor>> read(const StoredFolder& folder) {
  RETURN_IF_ERROR(check_auto_round_description(folder.description, folder.path));
  return read_quantized_tensors(folder, kCompressedTensorsParts);
}

}  // namespace

const Dialect kAutoRoundDialect = {"auto-round", recognises, read};

}  // namespace nibble

#include "checkpoint/description.h"

#include "checkpoint/dialects/compressed_tensors_description.h"
#include "checkpoint/dialects/dialect.h"
#include "checkpoint/dialects/modelopt_description.h"
#include "checkpoint/storage/canonical_name.h"

namespace nibble {
namespace {

WeightTarget target_of(const DescribedModule& module) {
  if (module.storage == Storage::kNvfp4) return WeightTarget::kNvfp4;
  if (module.storage != Storage::kFp8) return WeightTarget::kKeep;
  return module.has_row_scales ? WeightTarget::kFp8Channel : WeightTarget::kFp8Tensor;
}

OutputSummary summary_of(const std::vector<DescribedModule>& modules, bool has_fp8_cache) {
  OutputSummary summary;
  summary.has_fp8_cache = has_fp8_cache;
  summary.modules.reserve(modules.size());
  for (const DescribedModule& module : modules) {
    OutputModule output;
    output.name = module.name;
    output.stored = StoredAs{target_of(module), module.has_input_scale};
    output.linear_like = module.linear_like;
    summary.modules.push_back(std::move(output));
  }
  return summary;
}

}  // namespace

std::string canonical_tensor_name(std::string_view stored) {
  return std::string(canonical_name(stored));
}

Json compressed_tensors_section(const std::vector<DescribedModule>& modules, bool has_fp8_cache) {
  return compressed_tensors_description(summary_of(modules, has_fp8_cache));
}

ModelOptSections modelopt_sections(const std::vector<DescribedModule>& modules,
                                   bool has_fp8_cache) {
  const OutputSummary summary = summary_of(modules, has_fp8_cache);
  return {modelopt_config_section(summary), modelopt_quant_file(summary)};
}

}  // namespace nibble

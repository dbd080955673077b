// The model classes that nibble knows, and what runs each of them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "model/model.h"

namespace nibble {

/// One class name of config.json.
struct Architecture {
  using Load = Result<std::unique_ptr<Model>> (*)(std::shared_ptr<const Checkpoint> checkpoint,
                                                  ModelConfig config, Backend& backend,
                                                  const ModelOptions& options,
                                                  const ProgressSink& progress);
  std::string_view class_name;
  std::string_view model_type;  ///< what names the class where `architectures` is absent
  bool is_mixture_of_experts;
  Load load;
};

/// All rows.
std::span<const Architecture> architectures();

/// "Qwen3_5ForConditionalGeneration, Qwen3_5ForCausalLM, ...", for messages.
std::string architecture_names();

}  // namespace nibble

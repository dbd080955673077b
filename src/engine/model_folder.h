// The small files beside the weights that say how a model wants to be run.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "engine/sampler.h"
#include "model/config.h"
#include "tokenizer/tokenizer.h"

namespace nibble {

/// What the folder holds besides config.json and the weights.
struct ModelFolder {
  std::optional<Tokenizer> tokenizer;
  Json tokenizer_config = Json::object();
  std::optional<std::string> chat_template;
  SamplingParams default_sampling;
  std::vector<int32_t> stop_tokens;  ///< rising
};

/// Gives the text of one of those files, as Checkpoint::side_file does.
using SideFileReader = std::function<Result<std::string>(std::string_view name)>;

/// Reads them. Only tokenizer.json must exist, and only if it is required.
///   folder  the checkpoint's path, for messages
/// Errors: kNotFound, kCorrupt, those of Tokenizer::from_json, kPermission, kIo.
Result<ModelFolder> read_model_folder(const SideFileReader& side_file, const std::string& folder,
                                      const ModelConfig& config, bool requires_tokenizer);

/// Sampling settings of a generation_config.json. Absent fields are neutral; the temperature is 0
/// where do_sample is false, and 1 where sampling is asked for without one.
/// Errors: kCorrupt.
Result<SamplingParams> parse_generation_sampling(const Json& config, const std::string& subject);

}  // namespace nibble

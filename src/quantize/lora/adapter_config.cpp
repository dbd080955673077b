#include "quantize/lora/adapter_config.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <memory>

namespace nibble {
namespace {

constexpr uint32_t kMaxMatchSteps = 1'000'000;

Error refused(const std::string& subject, std::string_view what) {
  return Error(ErrorCode::kUnsupported,
               fmt::format("{}; nibble merges plain LoRA adapters only. Merge this one with the "
                           "library that made it, save the model, and quantize that",
                           what),
               subject);
}

// Set to anything but null, false, nothing or empty.
bool is_set(const Json& config, const char* key) {
  const auto at = config.find(key);
  if (at == config.end() || at->is_null()) return false;
  if (at->is_boolean()) return at->get<bool>();
  if (at->is_array() || at->is_object() || at->is_string()) return !at->empty();
  return true;
}

Status check_kind(const Json& config, const std::string& subject) {
  const Json kind = config.value("peft_type", Json("LORA"));
  if (!kind.is_string() || kind != "LORA") {
    return refused(subject, fmt::format("is an adapter of the kind {}", kind.dump()));
  }
  struct Refusal {
    const char* key;
    const char* what;
  };
  static constexpr std::array<Refusal, 8> kRefusals = {{
      {"use_dora", "uses DoRA (\"use_dora\"), which also rescales every row"},
      {"fan_in_fan_out", "stores its matrices with swapped axes (\"fan_in_fan_out\")"},
      {"lora_bias", "has biases (\"lora_bias\")"},
      {"layer_replication", "repeats layers of its base (\"layer_replication\")"},
      {"alora_invocation_tokens", "is switched on by certain tokens (\"alora_invocation_tokens\")"},
      {"trainable_token_indices", "changes single tokens (\"trainable_token_indices\")"},
      {"target_parameters", "changes stacked parameters (\"target_parameters\")"},
      {"use_bdlora", "has block-diagonal matrices (\"use_bdlora\")"},
  }};
  for (const Refusal& refusal : kRefusals) {
    if (is_set(config, refusal.key)) return refused(subject, refusal.what);
  }
  const Json bias = config.value("bias", Json("none"));
  if (bias != "none")
    return refused(subject, fmt::format("trains biases (\"bias\": {})", bias.dump()));
  return {};
}

Error bad_field(const std::string& subject, std::string_view field, std::string_view expected) {
  return Error(ErrorCode::kCorrupt, fmt::format("\"{}\" is not {}", field, expected), subject);
}

Result<std::vector<std::pair<std::string, double>>> read_pattern(const Json& config,
                                                                 const char* key,
                                                                 const std::string& subject) {
  std::vector<std::pair<std::string, double>> pattern;
  const Json object = config.value(key, Json());
  if (object.is_null()) return pattern;
  if (!object.is_object()) return bad_field(subject, key, "an object");
  for (const auto& [name, value] : object.items()) {
    if (!value.is_number() || !(value.get<double>() > 0.0)) {
      return bad_field(subject, fmt::format("{}.{}", key, name), "a number above 0");
    }
    pattern.emplace_back(name, value.get<double>());
  }
  return pattern;
}

// True where the expression matches the end of the name, behind a dot or from its beginning.
Result<bool> is_end_of(const std::string& expression, std::string_view module) {
  const std::string whole = fmt::format("^(?:.*\\.)?(?:{})$", expression);
  int error = 0;
  PCRE2_SIZE at = 0;
  const std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(whole.data()), whole.size(), PCRE2_UTF, &error,
                    &at, nullptr),
      pcre2_code_free);
  if (code == nullptr) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("\"{}\" is not a regular expression", expression));
  }
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), kMaxMatchSteps);
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create_from_pattern(code.get(), nullptr), pcre2_match_data_free);
  const int n = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(module.data()), module.size(),
                            0, 0, data.get(), context.get());
  if (n < 0 && n != PCRE2_ERROR_NOMATCH) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("\"{}\" takes too long to match", expression));
  }
  return n >= 0;
}

}  // namespace

Result<LoraConfig> parse_lora_config(const Json& config, const std::string& subject) {
  if (!config.is_object()) return Error(ErrorCode::kCorrupt, "is not a JSON object", subject);
  RETURN_IF_ERROR(check_kind(config, subject));
  LoraConfig read;
  const Json rank = config.value("r", Json());
  if (!rank.is_number_integer() || rank.get<int64_t>() <= 0) {
    return bad_field(subject, "r", "a whole number above 0");
  }
  read.rank = rank.get<uint64_t>();
  const Json alpha = config.value("lora_alpha", Json());
  if (!alpha.is_number()) return bad_field(subject, "lora_alpha", "a number");
  read.alpha = alpha.get<double>();
  read.rank_stabilised = is_set(config, "use_rslora");
  ASSIGN_OR_RETURN(read.rank_pattern, read_pattern(config, "rank_pattern", subject));
  ASSIGN_OR_RETURN(read.alpha_pattern, read_pattern(config, "alpha_pattern", subject));
  return read;
}

Result<double> pattern_value(const std::vector<std::pair<std::string, double>>& patterns,
                             std::string_view module, double otherwise) {
  for (const auto& [expression, value] : patterns) {
    ASSIGN_OR_RETURN(const bool matches, is_end_of(expression, module));
    if (matches) return value;
  }
  return otherwise;
}

}  // namespace nibble

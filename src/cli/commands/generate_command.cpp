// `nibble generate`: continues a text as it stands, without a chat template.
#include <fmt/format.h>

#include "cli/commands/make_commands.h"
#include "cli/model_source.h"
#include "cli/sampling_options.h"
#include "cli/token_ids.h"
#include "core/cancel.h"
#include "tokenizer/stream_decoder.h"

namespace nibble {
namespace {

double rate(size_t n, double seconds) {
  return seconds > 0.0 ? static_cast<double>(n) / seconds : 0.0;
}

class GenerateCommand : public Command {
 public:
  void declare(ArgumentParser& parser) override {
    parser.positional("MODEL", model_, "Checkpoint folder or GGUF file");
    parser.option("-p,--prompt", prompt_, "The text to continue", "TEXT");
    parser.option("-f,--prompt-file", prompt_file_, "Read the text from a file; - is stdin",
                  "FILE");
    parser.option("--prompt-ids", prompt_ids_,
                  "Token ids to continue, separated by commas or blanks, in place of text; with "
                  "--ids no tokenizer.json is needed",
                  "LIST");
    parser.option("-n,--max-tokens", max_tokens_, "Most tokens to generate");
    parser.flag("--ids", ids_, "Print token ids in place of text");
    parser.flag("--ignore-eos", ignore_stop_, "Go on after a stop token");
    sampling_.declare(parser);
  }

  Result<int> run(Console& console, const GeneralOptions& general) override {
    if (prompt_.has_value() + prompt_file_.has_value() + prompt_ids_.has_value() != 1) {
      return Error(ErrorCode::kInvalidArgument,
                   "give the prompt by one of --prompt, --prompt-file and --prompt-ids");
    }
    std::vector<int32_t> prompt_ids;
    std::string prompt;
    if (prompt_ids_) {
      ASSIGN_OR_RETURN(prompt_ids, parse_token_ids(*prompt_ids_));
    } else {
      ASSIGN_OR_RETURN(prompt, read_prompt());
    }
    const bool needs_text = !prompt_ids_ || !ids_;
    ASSIGN_OR_RETURN(const auto engine, open_engine(model_, general, console, needs_text));
    if (!prompt_ids_) {
      ASSIGN_OR_RETURN(prompt_ids, engine->tokenizer().encode(prompt));
    }
    if (prompt_ids.empty()) {
      return Error(ErrorCode::kInvalidArgument, "the prompt is empty: give at least one token");
    }
    GenerationParams params;
    params.sampling = sampling_.over(engine->default_sampling());
    params.max_new_tokens = max_tokens_;
    params.ignore_stop_tokens = ignore_stop_;
    RETURN_IF_ERROR(check_sampling(params.sampling));

    std::string text;
    ASSIGN_OR_RETURN(const GenerationResult result,
                     stream(console, *engine, prompt_ids, params, text));
    print_end(console, general, result, prompt_ids,
              engine->has_tokenizer() ? Json(text) : Json(nullptr), params.sampling.seed);
    return result.finish == FinishReason::kCancelled ? 128 + cancel_signal() : 0;
  }

 private:
  Result<std::string> read_prompt() const {
    if (prompt_) return *prompt_;
    return *prompt_file_ == "-" ? read_stdin() : read_argument_file(*prompt_file_);
  }

  /// Prints what arrives while it arrives and collects the text.
  Result<GenerationResult> stream(Console& console, Engine& engine,
                                  const std::vector<int32_t>& prompt_ids,
                                  const GenerationParams& params, std::string& text) const {
    std::optional<StreamDecoder> decoder;
    if (engine.has_tokenizer()) decoder.emplace(engine.tokenizer());
    size_t n_printed = 0;
    const auto show = [&](const std::string& piece) {
      text += piece;
      if (!ids_) console.print_now(piece);
    };
    auto result = engine.generate(prompt_ids, params, [&](int32_t token) {
      if (decoder) show(decoder->push(token));
      if (ids_) console.print_now(fmt::format("{}{}", n_printed++ > 0 ? "," : "", token));
      return true;
    });
    if (decoder) show(decoder->flush());
    console.print("\n");
    return result;
  }

  static void print_end(Console& console, const GeneralOptions& general,
                        const GenerationResult& result, const std::vector<int32_t>& prompt_ids,
                        const Json& text, uint64_t seed) {
    const double prefill_rate = rate(result.n_prompt_tokens, result.prefill_s);
    const double decode_rate = rate(result.tokens.size(), result.decode_s);
    console.print_json({{"text", text},
                        {"ids", result.tokens},
                        {"prompt_ids", prompt_ids},
                        {"finish_reason", finish_reason_name(result.finish)},
                        {"n_prompt_tokens", result.n_prompt_tokens},
                        {"n_tokens", result.tokens.size()},
                        {"seed", seed},
                        {"prefill_s", result.prefill_s},
                        {"decode_s", result.decode_s},
                        {"prefill_tok_s", prefill_rate},
                        {"decode_tok_s", decode_rate}});
    if (general.json) return;
    console.note(fmt::format("[{}: {} + {} tokens, prefill {:.0f} tok/s, decode {:.0f} tok/s]",
                             finish_reason_name(result.finish), result.n_prompt_tokens,
                             result.tokens.size(), prefill_rate, decode_rate));
  }

  std::string model_;
  std::optional<std::string> prompt_;
  std::optional<std::string> prompt_file_;
  std::optional<std::string> prompt_ids_;
  size_t max_tokens_ = 256;
  bool ids_ = false;
  bool ignore_stop_ = false;
  SamplingOptions sampling_;
};

}  // namespace

std::unique_ptr<Command> make_generate_command() { return std::make_unique<GenerateCommand>(); }

}  // namespace nibble

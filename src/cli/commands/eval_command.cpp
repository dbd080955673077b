// `nibble eval`: what a model is worth, alone or beside the model it was made from.
#include <fmt/format.h>

#include "cli/commands/make_commands.h"
#include "cli/eval_report.h"
#include "cli/model_source.h"
#include "cli/task_answers.h"
#include "core/bytes.h"

namespace nibble {
namespace {

/// The first `max_bytes` of a text; a character cut in two at that place is left out whole.
std::string first_bytes(std::string text, const std::optional<uint64_t>& max_bytes) {
  if (!max_bytes || *max_bytes >= text.size()) return text;
  size_t end = static_cast<size_t>(*max_bytes);
  const auto continues = [&](size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xc0u) == 0x80u;
  };
  for (int step = 0; step < 3 && end > 0 && continues(end); ++step) --end;
  text.resize(end);
  return text;
}

class EvalCommand : public Command {
 public:
  void declare(ArgumentParser& parser) override {
    parser.positional("MODEL", model_, "Checkpoint folder or GGUF file");
    parser.option("--base", base_, "The original, to compare with", "BASE");
    parser.option("--text", text_, "Measure perplexity, with --base also KL divergence, on this",
                  "FILE");
    parser.option("--max-bytes", max_bytes_, "Use only the first bytes of the text");
    parser.option("-c,--ctx,--ctx-size", perplexity_.n_ctx, "Tokens per window (default 512)");
    parser.option("--max-windows", perplexity_.max_windows, "Most windows; 0: all");
    parser.option("--tasks", tasks_,
                  "Ask the questions of this file: {\"kind\", \"question\", \"answer\"} a line",
                  "FILE");
    parser.option("--max-tasks", max_tasks_, "Ask only the first questions");
    parser.option("--max-tokens", max_tokens_, "Most tokens of an answer (default 512)");
    parser.flag("--speed", speed_, "Time prefill (512 tokens) and decode (128 tokens)");
  }

  Result<int> run(Console& console, const GeneralOptions& general) override {
    if (!text_ && !tasks_ && !speed_) {
      return Error(ErrorCode::kInvalidArgument,
                   "nothing to measure: give --text, --tasks or --speed");
    }
    RETURN_IF_ERROR(check_model_folder(model_));
    if (base_) RETURN_IF_ERROR(check_model_folder(*base_));
    RETURN_IF_ERROR(read_inputs());

    const bool needs_tokenizer = text_ || tasks_;
    ASSIGN_OR_RETURN(const auto engine, open_engine(model_, general, console, needs_tokenizer));
    std::unique_ptr<Engine> base;
    if (base_) {
      ASSIGN_OR_RETURN(base, open_engine(*base_, general, console, needs_tokenizer));
    }
    EvalReport report;
    report.backend = engine->backend_description();
    report.model = describe_model(engine->checkpoint());
    if (base) report.base = describe_model(base->checkpoint());

    if (text_) {
      perplexity_.n_threads = general.n_threads;
      RETURN_IF_ERROR(measure_text(console, *engine, base.get(), report));
    }
    RETURN_IF_ERROR(measure_alone(console, *engine, report.model));
    if (base) RETURN_IF_ERROR(measure_alone(console, *base, *report.base));
    console.print_json(eval_json(report));
    console.print(eval_text(report));
    return 0;
  }

 private:
  Status read_inputs() {
    if (text_) {
      ASSIGN_OR_RETURN(std::string content, read_argument_file(*text_));
      content_ = first_bytes(std::move(content), max_bytes_);
    }
    if (tasks_) {
      ASSIGN_OR_RETURN(const std::string lines, read_argument_file(*tasks_));
      ASSIGN_OR_RETURN(questions_, parse_tasks(lines, *tasks_));
      if (max_tasks_ && *max_tasks_ < questions_.size()) questions_.resize(*max_tasks_);
    }
    return {};
  }

  Status measure_text(Console& console, Engine& engine, Engine* base, EvalReport& report) const {
    ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, engine.tokenizer().encode(content_));
    if (base != nullptr) {
      ASSIGN_OR_RETURN(const std::vector<int32_t> base_tokens, base->tokenizer().encode(content_));
      if (tokens != base_tokens) {
        return Error(ErrorCode::kMismatch,
                     "the tokenizers of model and base give different tokens: compare a model with "
                     "the checkpoint it was made from",
                     model_);
      }
    }
    ASSIGN_OR_RETURN(report.perplexity,
                     measure_perplexity(engine, base, tokens, perplexity_, console.progress()));
    report.text_file = *text_;
    report.n_text_bytes = content_.size();
    report.text_hash = hash_bytes(std::as_bytes(std::span(content_)));
    return {};
  }

  Status measure_alone(Console& console, Engine& engine, EvaluatedModel& model) const {
    if (tasks_) {
      ASSIGN_OR_RETURN(const AnswerFunction answer, make_task_answerer(engine, max_tokens_));
      ASSIGN_OR_RETURN(model.tasks, run_tasks(questions_, answer, console.progress()));
    }
    if (speed_) {
      ASSIGN_OR_RETURN(model.speed, measure_speed(engine, {}, console.progress()));
    }
    return {};
  }

  std::string model_;
  std::optional<std::string> base_;
  std::optional<std::string> text_;
  std::optional<uint64_t> max_bytes_;
  PerplexityOptions perplexity_;
  std::optional<std::string> tasks_;
  std::optional<uint64_t> max_tasks_;
  size_t max_tokens_ = 512;
  bool speed_ = false;
  std::string content_;
  std::vector<Task> questions_;
};

}  // namespace

std::unique_ptr<Command> make_eval_command() { return std::make_unique<EvalCommand>(); }

}  // namespace nibble

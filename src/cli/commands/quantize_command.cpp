// `nibble quantize`: the plan as a table, or the work itself and what it cost every tensor.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "checkpoint/writer.h"
#include "cli/commands/make_commands.h"
#include "cli/model_source.h"
#include "cli/template_source.h"
#include "cli/version.h"
#include "quantize/quantize.h"

namespace nibble {
namespace {

/// Stored bits per element over all tensors of the output.
double effective_bits(const Plan& plan) {
  uint64_t n_bytes = 0;
  uint64_t n_weights = 0;
  for (const PlanRow& row : plan.rows) {
    n_bytes += row.n_output_bytes;
    n_weights += n_elements(row.tensor->shape).value_or(0);
  }
  return n_weights == 0 ? 0.0 : 8.0 * static_cast<double>(n_bytes) / static_cast<double>(n_weights);
}

std::string choices_help(std::string_view title, const std::vector<NamedChoice>& choices) {
  std::string text(title);
  for (const NamedChoice& choice : choices) {
    text += fmt::format("; {}: {}", choice.name, choice.description);
  }
  return text;
}

std::vector<std::string_view> choice_names(const std::vector<NamedChoice>& choices) {
  std::vector<std::string_view> names;
  names.reserve(choices.size());
  for (const NamedChoice& choice : choices) names.push_back(choice.name);
  return names;
}

/// The source has been opened: what is not found now is the place for DST, a bad argument, unless
/// the error is about the source itself.
Error as_argument_error(const Error& error, const std::string& source) {
  if (error.code != ErrorCode::kNotFound || error.subject == source) return error;
  return Error(ErrorCode::kInvalidArgument, error.message, error.subject);
}

class QuantizeCommand : public Command {
 public:
  void declare(ArgumentParser& parser) override {
    parser.positional("SRC", job_.source, "Checkpoint folder to read (BF16, F16 or F32)");
    parser.positional("DST", job_.destination, "Folder to write; it exists only when it is whole");
    parser.choice("--method", job_.method, choice_names(quantize_methods()),
                  choices_help("How values are rounded", quantize_methods()));
    parser.option("--recipe", job_.recipe,
                  choices_help("Which matrices are quantized, and to what; a name or the path of a "
                               "file, NAME.json",
                               recipes()),
                  "NAME");
    parser.choice("--head", job_.head, {"bf16", "fp8", "nvfp4"},
                  "What the head becomes, whatever the recipe says");
    parser.choice("--kv", job_.kv_cache, {"fp8", "keep"},
                  "Store scales for a key/value cache in FP8, whatever the recipe says");
    parser.option("--ignore", job_.ignore,
                  "Keep matrices whose name contains the text, or matches after \"re:\"; may be "
                  "repeated",
                  "PATTERN");
    parser.option("--lora", job_.lora,
                  "Merge the LoRA adapter in this folder (adapter_config.json, "
                  "adapter_model.safetensors) into the weights first",
                  "DIR");
    parser.choice("--to", job_.dialect, writable_dialects(), "Dialect of the output");
    parser.flag("--dry-run", dry_run_, "Print the plan and write nothing");
    parser.flag("--force", job_.force, "Replace an existing DST");
    parser.group("Calibration, for recipes with activation scales and for --kv fp8");
    parser.option("--calibration", job_.calibration.path,
                  "Text to run the model over: a text file, a file of JSON lines, or a folder of "
                  "them (default: the text that is part of the program)",
                  "PATH");
    parser.option("--calibration-samples", job_.calibration.n_samples,
                  "Pieces of text to read (32)");
    parser.option("--calibration-tokens", job_.calibration.n_tokens, "Tokens of each piece (512)");
  }

  Result<int> run(Console& console, const GeneralOptions& general) override {
    RETURN_IF_ERROR(check_model_folder(job_.source));
    job_.n_threads = general.n_threads;
    job_.program_version = kVersion;
    job_.calibration.cpu_implementation = general.cpu;
    job_.calibration.render_chat = [this](const Json& messages) { return render_chat(messages); };
    ASSIGN_OR_RETURN(const Plan plan, make_plan(job_));
    if (dry_run_) {
      Json json = plan_json(plan);
      json["dry_run"] = true;
      json["effective_bits"] = effective_bits(plan);
      console.print_json(json);
      console.print(plan_text(plan));
      return 0;
    }
    const Result<QuantizeReport> done = run_quantize(job_, plan, console.progress());
    if (!done) return as_argument_error(done.error(), job_.source);
    const QuantizeReport& report = *done;
    console.print_json(result_json(report, plan));
    console.print(general.quiet ? job_.destination + "\n" : result_text(report, plan));
    return 0;
  }

 private:
  Result<std::string> render_chat(const Json& messages) {
    if (!template_) {
      ASSIGN_OR_RETURN(template_, load_chat_template(job_.source, std::nullopt));
    }
    ChatVariables variables;
    variables.add_generation_prompt = false;
    return template_->render(messages, variables);
  }

  Json result_json(const QuantizeReport& report, const Plan& plan) const {
    Json json = report_json(report);
    json["output"] = job_.destination;
    json["method"] = job_.method;
    json["recipe"] = job_.recipe;
    json["dialect"] = job_.dialect;
    if (!job_.lora.empty()) json["lora"] = job_.lora;
    json["n_quantized"] = report.tensors.size();
    json["effective_bits"] = effective_bits(plan);
    return json;
  }

  std::string result_text(const QuantizeReport& report, const Plan& plan) const {
    return report_text(report) +
           fmt::format("\n{}: {:.1f} % of the source's bytes, {:.2f} bits per weight over all\n",
                       job_.destination,
                       100.0 * static_cast<double>(report.n_output_bytes) /
                           static_cast<double>(std::max<uint64_t>(report.n_source_bytes, 1)),
                       effective_bits(plan));
  }

  QuantizeJob job_;
  bool dry_run_ = false;
  std::optional<ChatTemplate> template_;
};

}  // namespace

std::unique_ptr<Command> make_quantize_command() { return std::make_unique<QuantizeCommand>(); }

}  // namespace nibble

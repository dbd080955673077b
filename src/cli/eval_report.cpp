#include "cli/eval_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>

#include "cli/terminal/text_table.h"
#include "core/bytes.h"

namespace nibble {
namespace {

/// Puts the fields of `from` into `into`, each name prefixed.
void merge(Json& into, const Json& from, const std::string& prefix) {
  for (const auto& [key, value] : from.items()) into[prefix + key] = value;
}

void add_model(Json& json, const EvaluatedModel& model, const std::string& prefix) {
  json[prefix + "model"] = model.folder;
  json[prefix + "storage"] = model.label;
  json[prefix + "size_bytes"] = model.n_bytes;
  json[prefix + "effective_bits"] = model.effective_bits;
  if (model.tasks) merge(json, report_json(*model.tasks), prefix);
  if (model.speed) merge(json, report_json(*model.speed), prefix);
}

std::string perplexity_cell(const Perplexity& perplexity) {
  return fmt::format("{:.3f} +- {:.3f}", perplexity.ppl, perplexity.ppl_se);
}

std::string accuracy_cell(const TaskReport& tasks) {
  const Interval interval = tasks.interval();
  return fmt::format("{:.1f} % ({:.1f} to {:.1f})", 100.0 * tasks.accuracy(), 100.0 * interval.low,
                     100.0 * interval.high);
}

std::string rate_cell(const Rate& rate) {
  return fmt::format("{:.0f} tok/s ({:.0f} to {:.0f})", rate.median, rate.least, rate.most);
}

/// The table row by row; a row appears if any model has it.
class EvalTable {
 public:
  explicit EvalTable(const EvalReport& report)
      : report_(report), table_(columns(report.base.has_value())) {
    add("", [](const EvaluatedModel& model) { return model.label; });
    table_.rule();
  }

  using Cell = std::function<std::string(const EvaluatedModel&)>;

  void add(const std::string& name, const Cell& cell) {
    if (report_.base) {
      table_.row({name, cell(*report_.base), cell(report_.model)});
    } else {
      table_.row({name, cell(report_.model)});
    }
  }
  void add_pair(const std::string& name, const std::string& base, const std::string& model) {
    if (report_.base) {
      table_.row({name, base, model});
    } else {
      table_.row({name, model});
    }
  }
  std::string text() const { return table_.text(); }

 private:
  static std::vector<Align> columns(bool with_base) {
    std::vector<Align> out = {Align::kLeft, Align::kRight};
    if (with_base) out.push_back(Align::kRight);
    return out;
  }

  const EvalReport& report_;
  TextTable table_;
};

void add_quality(const PerplexityReport& report, EvalTable& table) {
  table.add_pair("perplexity", report.base ? perplexity_cell(*report.base) : "",
                 perplexity_cell(report.model));
  if (!report.divergence) return;
  const Divergence& d = *report.divergence;
  table.add_pair("mean KL divergence", "0", fmt::format("{:.5f} +- {:.5f}", d.kld_mean, d.kld_se));
  table.add_pair("99 % KL divergence", "0", fmt::format("{:.5f}", d.kld_p99));
  table.add_pair("top-1 agreement", "100.0 %",
                 fmt::format("{:.1f} % +- {:.1f}", 100.0 * d.top1_agreement, 100.0 * d.top1_se));
}

/// How most of the quantized values are stored ("NVFP4", "FP8", "Q4_K"), or the type of the largest
/// tensor where none is quantized ("BF16").
std::string storage_label(const Checkpoint& checkpoint) {
  std::map<std::string_view, uint64_t> quantized;
  const TensorInfo* largest = nullptr;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    if (tensor.storage != Storage::kPlain) {
      quantized[storage_name(tensor)] += n_elements(tensor.shape).value_or(0);
    }
    if (largest == nullptr || tensor.n_bytes > largest->n_bytes) largest = &tensor;
  }
  const auto most =
      std::max_element(quantized.begin(), quantized.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most != quantized.end()) return std::string(most->first);
  return largest == nullptr ? std::string("empty") : std::string(storage_name(*largest));
}

}  // namespace

EvaluatedModel describe_model(const Checkpoint& checkpoint) {
  EvaluatedModel model;
  model.folder = checkpoint.folder();
  model.label = storage_label(checkpoint);
  uint64_t n_weights = 0;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    model.n_bytes += tensor.n_bytes;
    n_weights += n_elements(tensor.shape).value_or(0);
  }
  if (n_weights > 0) {
    model.effective_bits =
        8.0 * static_cast<double>(model.n_bytes) / static_cast<double>(n_weights);
  }
  return model;
}

Json eval_json(const EvalReport& report) {
  Json json = Json::object();
  if (report.perplexity) {
    json = report_json(*report.perplexity);
    json["text"] = report.text_file;
    json["n_text_bytes"] = report.n_text_bytes;
    json["text_fnv1a"] = fmt::format("{:016x}", report.text_hash);
  }
  add_model(json, report.model, "");
  if (report.base) add_model(json, *report.base, "base_");
  json["backend"] = report.backend;
  return json;
}

std::string eval_text(const EvalReport& report) {
  EvalTable table(report);
  table.add("size on disk", [](const EvaluatedModel& m) { return human_bytes(m.n_bytes); });
  table.add("effective bits",
            [](const EvaluatedModel& m) { return fmt::format("{:.2f}", m.effective_bits); });
  if (report.perplexity) add_quality(*report.perplexity, table);
  if (report.model.tasks) {
    table.add("task accuracy", [](const EvaluatedModel& m) { return accuracy_cell(*m.tasks); });
  }
  if (report.model.speed) {
    const SpeedOptions& options = report.model.speed->options;
    table.add(fmt::format("prefill {}", options.n_prefill),
              [](const EvaluatedModel& m) { return rate_cell(m.speed->prefill); });
    table.add(fmt::format("decode {}", options.n_decode),
              [](const EvaluatedModel& m) { return rate_cell(m.speed->decode); });
  }
  std::string text = table.text();
  if (report.perplexity) {
    text += fmt::format("\n{}: {} bytes (FNV-1a {:016x}), {} tokens in {} windows of {}\n",
                        report.text_file, report.n_text_bytes, report.text_hash,
                        report.perplexity->n_tokens, report.perplexity->n_windows,
                        report.perplexity->n_ctx);
  }
  if (report.model.tasks) text += fmt::format("{} tasks, greedy\n", report.model.tasks->n_tasks);
  return text + report.backend + "\n";
}

}  // namespace nibble

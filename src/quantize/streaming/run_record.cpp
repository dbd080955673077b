#include "quantize/streaming/run_record.h"

#include <fmt/format.h>

#include "core/content_hash.h"
#include "quantize/error_report.h"
#include "quantize/lora/lora_adapter.h"

namespace nibble {
namespace {

// Of what calibration found, in the order of the plan.
std::string ranges_hash(const Plan& plan, const ActivationRanges& ranges) {
  std::string text;
  for (const PlanRow& row : plan.rows) {
    for (const auto* found : {&ranges.inputs, &ranges.cached}) {
      const auto at = found->find(row.tensor);
      if (at != found->end()) text += fmt::format("{}\t{:a}\n", row.tensor->name, at->second);
    }
  }
  return content_hash(std::as_bytes(std::span(text)));
}

std::string file_name(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

}  // namespace

Json command_json(const QuantizeJob& job, const Plan& plan, const ActivationRanges& ranges) {
  Json command = {{"program", "nibble " + job.program_version},
                  {"command", "quantize"},
                  {"method", job.method},
                  {"recipe", file_name(job.recipe)},
                  {"dialect", job.dialect}};
  if (plan.lora != nullptr) command["lora"] = plan.lora->hash();
  if (!job.head.empty()) command["head"] = job.head;
  if (!job.kv_cache.empty()) command["kv"] = job.kv_cache;
  if (!job.ignore.empty()) command["ignore"] = job.ignore;
  if (ranges.n_tokens > 0) {
    command["calibration"] = {{"n_tokens", ranges.n_tokens}, {"ranges", ranges_hash(plan, ranges)}};
  }
  return command;
}

Json error_record(const TensorError& error) {
  return Json{{"max_abs_error", error.max_abs_error},
              {"tensor_scale", error.tensor_scale},
              {"sum_squares", error.sum_squares},
              {"sum_squared_errors", error.sum_squared_errors}};
}

std::optional<TensorError> error_from_record(const Json& record, const PlanRow& row) {
  TensorError error;
  if (!record.is_object() || !row.role) return std::nullopt;
  for (const auto& [key, value] :
       {std::pair<const char*, double*>{"max_abs_error", &error.max_abs_error},
        {"sum_squares", &error.sum_squares},
        {"sum_squared_errors", &error.sum_squared_errors}}) {
    const auto at = record.find(key);
    if (at == record.end() || !at->is_number()) return std::nullopt;
    *value = at->get<double>();
  }
  const auto scale = record.find("tensor_scale");
  if (scale == record.end() || !scale->is_number()) return std::nullopt;
  error.tensor_scale = scale->get<float>();
  error.name = row.tensor->name;
  error.role = *row.role;
  error.shape = row.tensor->shape;
  error.target = row.target;
  error.relative_mse = relative_mse(error.sum_squared_errors, error.sum_squares);
  error.sqnr_db = sqnr_db(error.relative_mse);
  return error;
}

}  // namespace nibble

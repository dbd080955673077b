// The plan in words: what --dry-run prints.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/bytes.h"
#include "quantize/quantize.h"

namespace nibble {
namespace {

// Tensors of one role that meet the same fate.
struct PlanTotal {
  size_t n_tensors = 0;
  uint64_t n_weights = 0;
  uint64_t n_source_bytes = 0;
  uint64_t n_output_bytes = 0;

  void add(const PlanRow& row) {
    ++n_tensors;
    n_weights += n_elements(row.tensor->shape).value_or(0);
    n_source_bytes += row.tensor->n_bytes;
    n_output_bytes += row.n_output_bytes;
  }
};

std::string_view role_text(const PlanRow& row) { return row.role ? role_name(*row.role) : "-"; }

using TotalKey = std::pair<std::string_view, std::string_view>;  // role and target

std::map<TotalKey, PlanTotal> totals_by_role(const Plan& plan) {
  std::map<TotalKey, PlanTotal> totals;
  for (const PlanRow& row : plan.rows) {
    totals[{role_text(row), target_name(row.target)}].add(row);
  }
  return totals;
}

PlanTotal total_of(const Plan& plan, bool only_quantized) {
  PlanTotal total;
  for (const PlanRow& row : plan.rows) {
    if (row.quantizes() || !only_quantized) total.add(row);
  }
  return total;
}

double bits_per_weight(const PlanTotal& total) {
  if (total.n_weights == 0) return 0.0;
  return 8.0 * static_cast<double>(total.n_output_bytes) / static_cast<double>(total.n_weights);
}

}  // namespace

std::string plan_text(const Plan& plan) {
  size_t name_width = 20;
  size_t shape_width = 5;
  for (const PlanRow& row : plan.rows) {
    name_width = std::max(name_width, row.tensor->name.size());
    shape_width = std::max(shape_width, shape_text(row.tensor->shape).size());
  }
  std::string text =
      fmt::format("{:<{}}  {:>{}}  {:<16}  {:<11}  {:>8}  {:>8}  {}\n", "tensor", name_width,
                  "shape", shape_width, "role", "plan", "before", "after", "reason");
  for (const PlanRow& row : plan.rows) {
    std::string line = fmt::format(
        "{:<{}}  {:>{}}  {:<16}  {:<11}  {:>8}  {:>8}  {}", row.tensor->name, name_width,
        shape_text(row.tensor->shape), shape_width, role_text(row), target_name(row.target),
        human_bytes(row.tensor->n_bytes), human_bytes(row.n_output_bytes), row.reason);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  text += "\n";
  for (const auto& [key, total] : totals_by_role(plan)) {
    text += fmt::format("{:<16}  {:<11}  {:>5} tensors  {:>8} -> {:>8}\n", key.first, key.second,
                        total.n_tensors, human_bytes(total.n_source_bytes),
                        human_bytes(total.n_output_bytes));
  }
  const PlanTotal all = total_of(plan, false);
  const PlanTotal quantized = total_of(plan, true);
  text += fmt::format("{} of {} tensors are quantized, at {:.3f} bits per weight; {} -> {}\n",
                      quantized.n_tensors, all.n_tensors, bits_per_weight(quantized),
                      human_bytes(all.n_source_bytes), human_bytes(all.n_output_bytes));
  if (plan.fp8_cache) text += "scales for a key/value cache in FP8 are stored\n";
  if (plan.needs_calibration()) text += "the model will run over calibration text first\n";
  return text;
}

Json plan_json(const Plan& plan) {
  Json json;
  json["source"] = plan.source->folder();
  json["tensors"] = Json::array();
  for (const PlanRow& row : plan.rows) {
    json["tensors"].push_back({{"name", row.tensor->name},
                               {"stored_name", row.tensor->stored_name},
                               {"shape", row.tensor->shape},
                               {"dtype", std::string(dtype_name(row.tensor->dtype))},
                               {"role", std::string(role_text(row))},
                               {"quantize", row.quantizes()},
                               {"target", std::string(target_name(row.target))},
                               {"reason", row.reason},
                               {"n_source_bytes", row.tensor->n_bytes},
                               {"n_output_bytes", row.n_output_bytes}});
  }
  json["totals"] = Json::array();
  for (const auto& [key, total] : totals_by_role(plan)) {
    json["totals"].push_back({{"role", std::string(key.first)},
                              {"target", std::string(key.second)},
                              {"n_tensors", total.n_tensors},
                              {"n_weights", total.n_weights},
                              {"n_source_bytes", total.n_source_bytes},
                              {"n_output_bytes", total.n_output_bytes}});
  }
  const PlanTotal all = total_of(plan, false);
  const PlanTotal quantized = total_of(plan, true);
  json["fp8_cache"] = plan.fp8_cache;
  json["needs_calibration"] = plan.needs_calibration();
  json["n_tensors"] = all.n_tensors;
  json["n_quantized"] = quantized.n_tensors;
  json["n_weights"] = quantized.n_weights;
  json["n_source_bytes"] = all.n_source_bytes;
  json["n_output_bytes"] = all.n_output_bytes;
  json["bits_per_quantized_weight"] = bits_per_weight(quantized);
  return json;
}

}  // namespace nibble

// What inspection found, as tables and as JSON.
#include <fmt/format.h>

#include <algorithm>

#include "core/bytes.h"
#include "doctor/inspect.h"

namespace nibble {
namespace {

std::string role_text(const InspectedTensor& inspected) {
  return inspected.role ? std::string(role_name(*inspected.role)) : "unknown";
}

Json total_json(const InspectTotal& total) {
  return Json{{"n_tensors", total.n_tensors},
              {"n_elements", total.n_elements},
              {"n_bytes", total.n_bytes},
              {"bits_per_element", total.bits_per_element()}};
}

Json totals_json(std::string_view key,
                 const std::vector<std::pair<std::string, InspectTotal>>& totals) {
  Json json = Json::array();
  for (const auto& [name, total] : totals) {
    Json row = {{std::string(key), name}};
    row.update(total_json(total));
    json.push_back(std::move(row));
  }
  return json;
}

Json config_json(const ModelConfig& config) {
  const auto n_attention =
      std::count(config.layer_kinds.begin(), config.layer_kinds.end(), LayerKind::kFullAttention);
  return Json{{"architecture", config.architecture},
              {"model_type", config.model_type},
              {"n_layers", config.n_layers},
              {"n_attention_layers", n_attention},
              {"n_delta_layers", config.n_layers - n_attention},
              {"hidden_size", config.hidden_size},
              {"intermediate_size", config.intermediate_size},
              {"vocab_size", config.vocab_size},
              {"n_heads", config.n_heads},
              {"n_kv_heads", config.n_kv_heads},
              {"head_dim", config.head_dim},
              {"n_experts", config.n_experts},
              {"n_mtp_layers", config.n_mtp_layers},
              {"has_vision", config.has_vision},
              {"tie_word_embeddings", config.tie_word_embeddings},
              {"max_position_embeddings", config.max_position_embeddings}};
}

std::string config_text(const ModelConfig& config) {
  const auto n_attention =
      std::count(config.layer_kinds.begin(), config.layer_kinds.end(), LayerKind::kFullAttention);
  std::string text = fmt::format(
      "{}: {} layers ({} DeltaNet, {} attention), hidden {}, intermediate {}, vocabulary {}\n",
      config.architecture, config.n_layers, config.n_layers - n_attention, n_attention,
      config.hidden_size,
      config.n_experts > 0 ? config.expert_intermediate_size : config.intermediate_size,
      config.vocab_size);
  text += fmt::format("{} heads of {}, {} KV heads, context {}{}{}{}{}\n", config.n_heads,
                      config.head_dim, config.n_kv_heads, config.max_position_embeddings,
                      config.n_experts > 0 ? fmt::format(", {} experts", config.n_experts) : "",
                      config.has_vision ? ", vision" : "",
                      config.n_mtp_layers > 0 ? ", multi-token prediction" : "",
                      config.tie_word_embeddings ? ", tied embeddings" : "");
  return text;
}

std::string total_line(std::string_view name, size_t width, const InspectTotal& total) {
  return fmt::format("{:<{}}  {:>7}  {:>14}  {:>9}  {:>7.3f}\n", name, width, total.n_tensors,
                     total.n_elements, human_bytes(total.n_bytes), total.bits_per_element());
}

std::string tensor_lines(const InspectReport& report) {
  size_t name_width = 6;
  size_t shape_width = 5;
  for (const InspectedTensor& inspected : report.tensors) {
    name_width = std::max(name_width, inspected.tensor.name.size());
    shape_width = std::max(shape_width, shape_text(inspected.tensor.shape).size());
  }
  std::string text = fmt::format("{:<{}}  {:>{}}  {:<8}  {:>9}  {}\n", "tensor", name_width,
                                 "shape", shape_width, "stored", "bytes", "role");
  for (const InspectedTensor& inspected : report.tensors) {
    const TensorInfo& tensor = inspected.tensor;
    text += fmt::format("{:<{}}  {:>{}}  {:<8}  {:>9}  {}\n", tensor.name, name_width,
                        shape_text(tensor.shape), shape_width, storage_name(tensor),
                        human_bytes(tensor.n_bytes), role_text(inspected));
  }
  return text;
}

}  // namespace

Json inspect_json(const InspectReport& report) {
  Json json;
  json["folder"] = report.folder;
  json["dialect"] = report.dialect;
  json["config"] = report.config ? config_json(*report.config) : Json(nullptr);
  json["tensors"] = Json::array();
  for (const InspectedTensor& inspected : report.tensors) {
    const TensorInfo& tensor = inspected.tensor;
    json["tensors"].push_back({{"name", tensor.name},
                               {"stored_name", tensor.stored_name},
                               {"shard", tensor.shard},
                               {"shape", tensor.shape},
                               {"storage", storage_name(tensor)},
                               {"n_bytes", tensor.n_bytes},
                               {"role", role_text(inspected)},
                               {"layer", inspected.layer}});
  }
  json["totals"] = totals_json("role", report.roles);
  json["storages"] = totals_json("storage", report.storages);
  json["body_linears"] = total_json(report.body_linears);
  json["all"] = total_json(report.all);
  json["problems"] = report.problems;
  return json;
}

std::string inspect_text(const InspectReport& report) {
  std::string text = fmt::format("{} ({})\n", report.folder, report.dialect);
  if (report.config) text += config_text(*report.config);
  text += "\n" + tensor_lines(report) + "\n";
  constexpr std::string_view kBody = "linears of the layers";
  const size_t width = kBody.size();
  text += fmt::format("{:<{}}  {:>7}  {:>14}  {:>9}  {:>7}\n", "role", width, "tensors", "elements",
                      "bytes", "bits");
  for (const auto& [role, total] : report.roles) text += total_line(role, width, total);
  text += "\n";
  for (const auto& [storage, total] : report.storages) text += total_line(storage, width, total);
  text += "\n" + total_line(kBody, width, report.body_linears);
  text += total_line("whole checkpoint", width, report.all);
  for (const std::string& problem : report.problems) text += "\nproblem: " + problem + "\n";
  return text;
}

}  // namespace nibble

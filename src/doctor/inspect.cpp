#include "doctor/inspect.h"

#include <algorithm>
#include <map>

namespace nibble {
namespace {

void add(InspectTotal& total, const TensorInfo& tensor) {
  ++total.n_tensors;
  total.n_elements += n_elements(tensor.shape).value_or(0);
  total.n_bytes += tensor.n_bytes;
}

// Roles outside the text model follow from the prefix even where the config is not understood.
std::optional<TensorRole> role_without_config(std::string_view name) {
  if (name.starts_with("mtp.")) return TensorRole::kMtp;
  if (name.starts_with("visual.")) return TensorRole::kVision;
  return std::nullopt;
}

void fill_tensors(const Checkpoint& checkpoint, InspectReport& report) {
  std::optional<TensorRoles> roles;
  if (report.config) roles.emplace(*report.config);
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    InspectedTensor inspected;
    inspected.tensor = tensor;
    inspected.role = roles ? roles->role_of(tensor.name) : role_without_config(tensor.name);
    if (const TensorSpec* spec = roles ? roles->find(tensor.name) : nullptr) {
      inspected.layer = spec->layer;
      inspected.is_body_linear = spec->is_linear;
    }
    report.tensors.push_back(std::move(inspected));
  }
}

void fill_totals(InspectReport& report) {
  std::map<TensorRole, InspectTotal> roles;
  InspectTotal unknown;
  std::map<std::string, InspectTotal> storages;
  for (const InspectedTensor& inspected : report.tensors) {
    add(report.all, inspected.tensor);
    add(inspected.role ? roles[*inspected.role] : unknown, inspected.tensor);
    add(storages[std::string(storage_name(inspected.tensor))], inspected.tensor);
    if (inspected.is_body_linear) add(report.body_linears, inspected.tensor);
  }
  for (const auto& [role, total] : roles) {
    report.roles.emplace_back(std::string(role_name(role)), total);
  }
  if (unknown.n_tensors > 0) report.roles.emplace_back("unknown", unknown);
  report.storages.assign(storages.begin(), storages.end());
}

}  // namespace

double InspectTotal::bits_per_element() const {
  if (n_elements == 0) return 0.0;
  return 8.0 * static_cast<double>(n_bytes) / static_cast<double>(n_elements);
}

Result<InspectReport> inspect_checkpoint(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Checkpoint> checkpoint, Checkpoint::open(folder));
  InspectReport report;
  report.folder = folder;
  report.dialect = std::string(checkpoint->dialect());
  const auto config = parse_model_config(checkpoint->config(), folder + "/config.json");
  if (config) {
    report.config = *config;
    if (const Status fits = check_tensors(*checkpoint, *config); !fits) {
      report.problems.push_back(fits.error().message);
    }
  } else {
    report.problems.push_back(config.error().to_string());
  }
  fill_tensors(*checkpoint, report);
  fill_totals(report);
  return report;
}

}  // namespace nibble

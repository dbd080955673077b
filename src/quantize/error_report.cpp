#include "quantize/error_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "core/bytes.h"

namespace nibble {
namespace {

// What several matrices lost together.
struct Total {
  size_t n_tensors = 0;
  uint64_t n_weights = 0;
  double sum_squares = 0.0;
  double sum_squared_errors = 0.0;
  double max_abs_error = 0.0;

  void add(const TensorError& error) {
    ++n_tensors;
    n_weights += n_elements(error.shape).value_or(0);
    sum_squares += error.sum_squares;
    sum_squared_errors += error.sum_squared_errors;
    max_abs_error = std::max(max_abs_error, error.max_abs_error);
  }
  double relative() const { return relative_mse(sum_squared_errors, sum_squares); }
};

// Per role in the order of the roles, and over all.
struct Totals {
  std::map<TensorRole, Total> by_role;
  Total all;
};

Totals totals_of(const QuantizeReport& report) {
  Totals totals;
  for (const TensorError& error : report.tensors) {
    totals.by_role[error.role].add(error);
    totals.all.add(error);
  }
  return totals;
}

// JSON has no infinity: a matrix without error has no ratio.
Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json total_json(std::string_view role, const Total& total) {
  return Json{{"role", std::string(role)},
              {"n_tensors", total.n_tensors},
              {"n_weights", total.n_weights},
              {"relative_mse", total.relative()},
              {"sqnr_db", finite_or_null(sqnr_db(total.relative()))},
              {"max_abs_error", total.max_abs_error}};
}

std::string error_line(std::string_view name, size_t width, std::string_view shape,
                       std::string_view target, double relative, double largest) {
  return fmt::format("{:<{}}  {:>14}  {:<11}  {:>11.4e}  {:>7.2f} dB  {:>11.4e}\n", name, width,
                     shape, target, relative, sqnr_db(relative), largest);
}

}  // namespace

Json report_json(const QuantizeReport& report) {
  Json json;
  json["tensors"] = Json::array();
  for (const TensorError& error : report.tensors) {
    json["tensors"].push_back({{"name", error.name},
                               {"role", std::string(role_name(error.role))},
                               {"shape", error.shape},
                               {"relative_mse", error.relative_mse},
                               {"sqnr_db", finite_or_null(error.sqnr_db)},
                               {"max_abs_error", error.max_abs_error},
                               {"tensor_scale", error.tensor_scale},
                               {"target", std::string(target_name(error.target))}});
  }
  const Totals totals = totals_of(report);
  json["totals"] = Json::array();
  for (const auto& [role, total] : totals.by_role) {
    json["totals"].push_back(total_json(role_name(role), total));
  }
  json["total"] = total_json("all", totals.all);
  if (report.n_calibration_tokens > 0) json["calibration_tokens"] = report.n_calibration_tokens;
  json["n_source_bytes"] = report.n_source_bytes;
  json["n_output_bytes"] = report.n_output_bytes;
  json["elapsed_s"] = report.elapsed_s;
  return json;
}

std::string report_text(const QuantizeReport& report) {
  size_t width = 20;
  for (const TensorError& error : report.tensors) width = std::max(width, error.name.size());
  const std::string header =
      fmt::format("{:<{}}  {:>14}  {:<11}  {:>11}  {:>10}  {:>11}\n", "tensor", width, "shape",
                  "target", "rel. MSE", "SQNR", "max error");
  std::string text = header + std::string(header.size() - 1, '-') + "\n";
  for (const TensorError& error : report.tensors) {
    text += error_line(error.name, width, shape_text(error.shape), target_name(error.target),
                       error.relative_mse, error.max_abs_error);
  }
  text += std::string(header.size() - 1, '-') + "\n";
  const Totals totals = totals_of(report);
  for (const auto& [role, total] : totals.by_role) {
    text += error_line(role_name(role), width, fmt::format("{} tensors", total.n_tensors), "",
                       total.relative(), total.max_abs_error);
  }
  text += error_line("all", width, fmt::format("{} tensors", totals.all.n_tensors), "",
                     totals.all.relative(), totals.all.max_abs_error);
  text += fmt::format("{} -> {} in {:.1f} s\n", human_bytes(report.n_source_bytes),
                      human_bytes(report.n_output_bytes), report.elapsed_s);
  return text;
}

}  // namespace nibble

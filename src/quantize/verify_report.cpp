// What verification found, in words and as JSON.
#include <fmt/format.h>

#include <algorithm>

#include "core/bytes.h"
#include "quantize/error_report.h"
#include "quantize/verify.h"

namespace nibble {
namespace {

constexpr size_t kMaxShownProblems = 50;

struct Worst {
  double relative_mse = 0.0;
  std::string name;
};

// The error over all matrices together, and the matrix that lost most.
std::pair<double, Worst> overall_error(const VerifyReport& report) {
  double sum_squares = 0.0;
  double sum_squared_errors = 0.0;
  Worst worst;
  for (const TensorError& error : report.matrices) {
    sum_squares += error.sum_squares;
    sum_squared_errors += error.sum_squared_errors;
    if (error.relative_mse >= worst.relative_mse) worst = {error.relative_mse, error.name};
  }
  return {relative_mse(sum_squared_errors, sum_squares), worst};
}

std::string error_text(const VerifyReport& report) {
  if (report.matrices.empty()) return {};
  const auto [relative, worst] = overall_error(report);
  return fmt::format("  relative squared error {:.4e} over {} matrices; most in {} ({:.4e})\n",
                     relative, report.matrices.size(), worst.name, worst.relative_mse);
}

}  // namespace

Json verify_json(const VerifyReport& report) {
  Json json;
  json["ok"] = report.ok();
  json["folder"] = report.folder;
  json["source"] = report.source ? Json(*report.source) : Json(nullptr);
  json["dialect"] = report.dialect;
  json["problems"] = Json::array();
  for (const VerifyProblem& found : report.problems) {
    json["problems"].push_back({{"code", found.code},
                                {"subject", found.subject},
                                {"message", found.message},
                                {"fix", found.fix}});
  }
  json["matrices"] = Json::array();
  for (const TensorError& error : report.matrices) {
    json["matrices"].push_back({{"name", error.name},
                                {"shape", error.shape},
                                {"relative_mse", error.relative_mse},
                                {"max_abs_error", error.max_abs_error},
                                {"tensor_scale", error.tensor_scale}});
  }
  json["relative_mse"] = overall_error(report).first;
  json["n_tensors"] = report.n_tensors;
  json["n_quantized"] = report.n_quantized;
  json["n_identical_tensors"] = report.n_identical_tensors;
  json["n_identical_files"] = report.n_identical_files;
  json["n_bytes"] = report.n_bytes;
  json["elapsed_s"] = report.elapsed_s;
  return json;
}

std::string verify_text(const VerifyReport& report) {
  std::string text = fmt::format("{}: {} tensors, {} of them NVFP4, {}\n", report.folder,
                                 report.n_tensors, report.n_quantized, human_bytes(report.n_bytes));
  if (report.source) {
    text += fmt::format("  against {}: {} tensors and {} other files are identical\n",
                        *report.source, report.n_identical_tensors, report.n_identical_files);
    text += error_text(report);
  } else {
    text += "  without a source only structure and scales are checked; --source proves the rest\n";
  }
  const size_t n_shown = std::min(report.problems.size(), kMaxShownProblems);
  for (size_t i = 0; i < n_shown; ++i) {
    const VerifyProblem& found = report.problems[i];
    text += fmt::format("  {}: {}\n    {}\n    to do: {}\n", found.code, found.subject,
                        found.message, found.fix);
  }
  if (n_shown < report.problems.size()) {
    text += fmt::format("  and {} more problems\n", report.problems.size() - n_shown);
  }
  text += report.ok() ? "verified\n"
                      : fmt::format("not verified: {} {}\n", report.problems.size(),
                                    report.problems.size() == 1 ? "problem" : "problems");
  return text;
}

}  // namespace nibble

// Verifying an export: every tensor, file and field of it is proved against its source.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "quantize/quantize.h"

namespace nibble {

/// One thing that is wrong.
struct VerifyProblem {
  std::string code;     ///< stable, for scripts: "tensor_missing", "bytes_differ", ...
  std::string subject;  ///< the tensor, file or field
  std::string message;  ///< what was found and what was expected
  std::string fix;      ///< what to do
};

/// What was looked at and what was found.
struct VerifyReport {
  std::string folder;
  std::optional<std::string> source;
  std::string dialect;  ///< of `folder`; empty where it does not open
  std::vector<VerifyProblem> problems;
  std::vector<TensorError> matrices;  ///< quantized here, plain in the source, and compared
  size_t n_tensors = 0;
  size_t n_quantized = 0;
  size_t n_identical_tensors = 0;  ///< stored bytes equal to the source's
  size_t n_identical_files = 0;    ///< files beside the weights, equal to the source's
  uint64_t n_bytes = 0;            ///< stored bytes of all tensors
  double elapsed_s = 0.0;

  bool ok() const { return problems.empty(); }
};

/// Reopens a checkpoint and gathers all that is wrong with it.
///
/// Always: it opens, its tensors fit its config, the index lists exactly the stored tensors, block
/// scales are 0x01 to 0x7e, tensor scales are finite, plausible and shared inside fused groups.
/// With a source also: the same tensors; kept ones byte for byte; in every quantized matrix each
/// code is the nearest to its weight under the stored scales, no block was lost, no block scale
/// stands out from how the others were chosen, and the error is sane; config.json keeps every
/// field; the other files are equal. Errors: what keeps it from looking at all: those of
/// Checkpoint::open for the source, kNotFound (no such folder), kIo, kCancelled. What is wrong with
/// `folder` itself is a problem of the report.
Result<VerifyReport> verify_checkpoint(const std::string& folder,
                                       const std::optional<std::string>& source,
                                       size_t n_threads = 0, const ProgressSink& progress = {});

/// The report as one JSON object (keys: ok, problems, matrices, counts), and for people.
Json verify_json(const VerifyReport& report);
std::string verify_text(const VerifyReport& report);

}  // namespace nibble

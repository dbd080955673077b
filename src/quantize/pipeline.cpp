// Carries a plan out, one tensor after the other.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "checkpoint/writer.h"
#include "core/cancel.h"
#include "core/clock.h"
#include "numbers/nvfp4.h"
#include "quantize/error_report.h"
#include "quantize/magnitude.h"
#include "quantize/methods/method.h"
#include "quantize/quantize.h"

namespace nibble {
namespace {

class Pipeline {
 public:
  Pipeline(const QuantizeJob& job, const Plan& plan, const Method& method, CheckpointWriter& writer,
           const ProgressSink& progress)
      : plan_(plan), method_(method), writer_(writer), progress_(progress), pool_(job.n_threads) {
    for (const PlanRow& row : plan.rows) {
      rows_.emplace(row.tensor, &row);
      if (row.quantizes() && !row.fused_group.empty())
        groups_[row.fused_group].push_back(row.tensor);
    }
  }

  Status run(QuantizeReport& report) {
    for (const PlannedTensor& planned : writer_.plan()) {
      RETURN_IF_ERROR(check_cancelled());
      show_progress(planned.source->stored_name);
      const PlanRow& row = *rows_.at(planned.source);
      if (row.quantizes()) {
        RETURN_IF_ERROR(quantize(row, report));
      } else {
        RETURN_IF_ERROR(pass_through(row));
      }
      plan_.source->release(*planned.source);
    }
    show_progress({});
    RETURN_IF_ERROR(check_cancelled());
    // Pages that could not be read gave zeros: nothing computed from them may become an output.
    RETURN_IF_ERROR(plan_.source->intact());
    return writer_.finish();
  }

 private:
  void show_progress(const std::string& item) {
    if (!progress_) return;
    progress_({"quantize", item, writer_.n_written_bytes(), writer_.total_bytes(), true});
  }

  Status pass_through(const PlanRow& row) {
    if (is_floating(row.tensor->dtype)) {
      const Result<float> magnitude = largest_magnitude(*plan_.source, *row.tensor, pool_);
      if (!magnitude) return magnitude.error();
    }
    return writer_.write_source();
  }

  Status quantize(const PlanRow& row, QuantizeReport& report) {
    ASSIGN_OR_RETURN(const float amax, amax_of(row));
    const MatrixTask task{plan_.source->plain(*row.tensor), nvfp4_tensor_scale(amax)};
    ASSIGN_OR_RETURN(const QuantizedMatrix matrix, method_.quantize(task, pool_));
    TensorError error = measure_error(task.weights, matrix.view(), pool_);
    error.name = row.tensor->name;
    error.role = *row.role;
    report.tensors.push_back(std::move(error));
    return writer_.write_nvfp4(matrix.view());
  }

  // The largest magnitude of the matrix or, for a member of a fused group, of the whole group,
  // found when the first member comes.
  Result<float> amax_of(const PlanRow& row) {
    if (row.fused_group.empty()) return largest_magnitude(*plan_.source, *row.tensor, pool_);
    const auto known = group_amax_.find(row.fused_group);
    if (known != group_amax_.end()) return known->second;
    float amax = 0.0f;
    for (const TensorInfo* member : groups_.at(row.fused_group)) {
      ASSIGN_OR_RETURN(const float own, largest_magnitude(*plan_.source, *member, pool_));
      amax = std::max(amax, own);
    }
    group_amax_.emplace(row.fused_group, amax);
    return amax;
  }

  const Plan& plan_;
  const Method& method_;
  CheckpointWriter& writer_;
  const ProgressSink& progress_;
  ThreadPool pool_;
  std::unordered_map<const TensorInfo*, const PlanRow*> rows_;
  std::unordered_map<std::string, std::vector<const TensorInfo*>> groups_;
  std::unordered_map<std::string, float> group_amax_;
};

// Interrupted work stays in DST.partial, and the message says so. (A full disk does the same, told
// by the writer.)
Error interrupted(const Error& error, CheckpointWriter& writer) {
  writer.keep_partial();
  return Error(error.code,
               fmt::format("{}; {} holds the unfinished output and can be deleted", error.message,
                           writer.partial_folder()),
               error.subject);
}

}  // namespace

Result<QuantizeReport> run_quantize(const QuantizeJob& job, const Plan& plan,
                                    const ProgressSink& progress) {
  const Method* method = find_method(job.method);
  if (method == nullptr) {
    return Error(ErrorCode::kInvalidArgument, fmt::format("there is no method \"{}\"", job.method));
  }
  const Stopwatch stopwatch;
  QuantizeReport report;
  std::vector<PlannedTensor> planned;
  for (const PlanRow& row : plan.rows) {
    planned.push_back({row.tensor, row.target.weights, row.target.has_input_scale});
    report.n_source_bytes += row.tensor->n_bytes;
  }
  WriterOptions options;
  options.dialect = job.dialect;
  options.force = job.force;
  ASSIGN_OR_RETURN(
      const std::unique_ptr<CheckpointWriter> writer,
      CheckpointWriter::create(plan.source, std::move(planned), job.destination, options));

  Pipeline pipeline(job, plan, *method, *writer, progress);
  if (Status status = pipeline.run(report); !status) {
    const Error& error = status.error();
    return error.code == ErrorCode::kCancelled ? interrupted(error, *writer) : error;
  }
  report.n_output_bytes = writer->total_bytes();
  report.elapsed_s = stopwatch.elapsed_s();
  return report;
}

}  // namespace nibble

// Carries a plan out, one tensor after the other.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <unordered_map>

#include "checkpoint/writer.h"
#include "core/cancel.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mapped_file.h"
#include "core/ordered_worker.h"
#include "numbers/nvfp4.h"
#include "quantize/error_report.h"
#include "quantize/interrupted.h"
#include "quantize/lora/lora_adapter.h"
#include "quantize/magnitude.h"
#include "quantize/methods/fp8.h"
#include "quantize/methods/method.h"
#include "quantize/quantize.h"
#include "quantize/streaming/read_ahead.h"
#include "quantize/streaming/run_record.h"

namespace nibble {
namespace {

// What may be read and not yet worked on, and what may wait to be written.
constexpr uint64_t kReadWindowBytes = uint64_t{256} << 20;
constexpr uint64_t kWriteQueueBytes = uint64_t{256} << 20;
// Kept tensors pass, and magnitudes are looked for, in pieces of this size.
constexpr uint64_t kPieceBytes = uint64_t{16} << 20;
// Larger matrices are quantized in slabs of rows, so that their pages can be given back on the way.
constexpr uint64_t kSlabBytes = uint64_t{128} << 20;

class Pipeline {
 public:
  Pipeline(const QuantizeJob& job, const Plan& plan, const ActivationRanges& ranges,
           const Method& method, CheckpointWriter& writer, const ProgressSink& progress)
      : plan_(plan),
        ranges_(ranges),
        method_(method),
        writer_(writer),
        progress_(progress),
        pool_(job.n_threads) {
    for (const PlanRow& row : plan.rows) {
      rows_.emplace(row.tensor, &row);
      if (row.quantizes() && !row.fused_group.empty())
        groups_[row.fused_group].push_back(row.tensor);
    }
  }

  Status run(QuantizeReport& report) {
    Status status = run_all(report);
    reader_.reset();
    worker_.reset();  // nobody writes when the caller is told
    return status;
  }

 private:
  Status run_all(QuantizeReport& report) {
    const std::span<const PlannedTensor> planned = writer_.plan();
    const size_t n_finished = take_over(report);
    std::vector<const TensorInfo*> order;
    order.reserve(planned.size());
    for (const PlannedTensor& next : planned.subspan(n_finished)) order.push_back(next.source);
    reader_ = std::make_unique<ReadAhead>(*plan_.source, order, kReadWindowBytes);
    worker_ = std::make_unique<OrderedWorker>(kWriteQueueBytes);
    for (const TensorInfo* tensor : order) {
      RETURN_IF_ERROR(check_cancelled());
      show_progress(tensor->stored_name);
      const PlanRow& row = *rows_.at(tensor);
      RETURN_IF_ERROR(row.quantizes() ? quantize(row, report) : pass_through(row));
    }
    RETURN_IF_ERROR(worker_->drain());
    show_progress({});
    RETURN_IF_ERROR(check_cancelled());
    // Pages that could not be read gave zeros: nothing computed from them may become an output.
    RETURN_IF_ERROR(plan_.source->intact());
    return writer_.finish();
  }

  // What an earlier run of the same command found out; returns how many tensors it wrote.
  size_t take_over(QuantizeReport& report) {
    const std::span<const FinishedTensor> finished = writer_.taken_over();
    for (const FinishedTensor& tensor : finished) {
      auto error = error_from_record(tensor.note.report, *rows_.at(tensor.source));
      if (error) report.tensors.push_back(std::move(*error));
    }
    if (!finished.empty()) {
      log(LogLevel::kWarning, "quantize", "{} holds {} of {} tensors of an earlier run: going on",
          writer_.partial_folder(), finished.size(), writer_.plan().size());
    }
    n_written_bytes_ = writer_.n_written_bytes();
    return finished.size();
  }

  void show_progress(const std::string& item) {
    if (!progress_) return;
    progress_({"quantize", item, n_written_bytes_.load(), writer_.total_bytes(), true});
  }

  // Hands work to the thread that writes.
  Status write(uint64_t n_bytes, OrderedWorker::Task task) {
    return worker_->push(n_bytes, [this, task = std::move(task)]() -> Status {
      RETURN_IF_ERROR(task());
      n_written_bytes_ = writer_.n_written_bytes();
      return {};
    });
  }

  // A tensor's values as they are to be stored: the source's, or with the adapter merged in.
  struct Weights {
    TensorView view;
    std::shared_ptr<const Tensor> merged;  // owns what the view shows, where it is not the source
  };

  Result<Weights> weights_of(const TensorInfo& tensor) {
    if (plan_.lora == nullptr || !plan_.lora->changes(tensor)) {
      return Weights{plan_.source->plain(tensor), nullptr};
    }
    ASSIGN_OR_RETURN(Tensor merged, plan_.lora->merged(*plan_.source, tensor, pool_));
    const auto owned = std::make_shared<const Tensor>(std::move(merged));
    return Weights{owned->view(), owned};
  }

  Status pass_through(const PlanRow& row) {
    const TensorInfo& tensor = *row.tensor;
    if (tensor.storage != Storage::kPlain || !writer_.takes_pieces() || tensor.n_bytes == 0) {
      return pass_whole(tensor);
    }
    ASSIGN_OR_RETURN(const Weights weights, weights_of(tensor));
    const uint64_t total = weights.view.bytes.size();
    for (uint64_t begin = 0; begin < total; begin += kPieceBytes) {
      RETURN_IF_ERROR(check_cancelled());
      const auto bytes = weights.view.bytes.subspan(begin, std::min(kPieceBytes, total - begin));
      reader_->wait_for(tensor, begin + bytes.size());
      RETURN_IF_ERROR(check_finite(tensor, bytes, begin));
      TensorNote note;
      if (begin + bytes.size() == total) note.source_hash = reader_->hash_of(tensor);
      const Status queued =
          write(bytes.size(), [this, bytes, note, merged = weights.merged]() -> Status {
            writer_.annotate(note);
            RETURN_IF_ERROR(writer_.write_piece(bytes));
            release_mapped(bytes);
            return {};
          });
      RETURN_IF_ERROR(queued);
    }
    return {};
  }

  Status pass_whole(const TensorInfo& tensor) {
    if (plan_.lora != nullptr && plan_.lora->changes(tensor) && tensor.n_bytes > 0) {
      return Error(ErrorCode::kUnsupported,
                   "is kept and changed by the adapter, which this output cannot take; quantize to "
                   "a folder first and convert that",
                   tensor.stored_name);
    }
    if (tensor.storage == Storage::kPlain) {
      RETURN_IF_ERROR(check_finite(tensor, plan_.source->plain(tensor).bytes, 0));
    }
    return write(tensor.n_bytes, [this, hash = reader_->hash_of(tensor)]() -> Status {
      writer_.annotate({hash, nullptr});
      return writer_.write_source();
    });
  }

  Status check_finite(const TensorInfo& tensor, std::span<const std::byte> bytes, uint64_t begin) {
    if (!is_floating(tensor.dtype)) return {};
    const size_t element_bytes = dtype_bytes(tensor.dtype);
    const TensorView piece{tensor.dtype, {bytes.size() / element_bytes}, bytes};
    const Result<float> magnitude = largest_magnitude(tensor, piece, begin / element_bytes, pool_);
    return magnitude ? Status() : magnitude.error();
  }

  Status quantize(const PlanRow& row, QuantizeReport& report) {
    if (row.target.weights != WeightTarget::kNvfp4) return quantize_to_fp8(row, report);
    ASSIGN_OR_RETURN(const float amax, amax_of(row));
    const std::string hash = reader_->hash_of(*row.tensor);
    ASSIGN_OR_RETURN(const Weights weights, weights_of(*row.tensor));
    const auto matrix = std::make_shared<QuantizedMatrix>();
    TensorError error;
    RETURN_IF_ERROR(quantize_slabs(weights.view, nvfp4_tensor_scale(amax), *matrix, error));
    if (row.target.has_input_scale) {
      matrix->input_scale = nvfp4_tensor_scale(ranges_.inputs.at(row.tensor));
    }
    const TensorNote note{hash, error_record(add_error(row, std::move(error), report))};
    return write(matrix->codes.size() + matrix->scales.size(), [this, matrix, note]() -> Status {
      writer_.annotate(note);
      return writer_.write_nvfp4(matrix->view());
    });
  }

  // One slab is all of most matrices.
  Status quantize_slabs(const TensorView& weights, float tensor_scale, QuantizedMatrix& whole,
                        TensorError& error) {
    const uint64_t rows = weights.shape[0];
    const uint64_t cols = weights.shape[1];
    const uint64_t row_bytes = cols * dtype_bytes(weights.dtype);
    const uint64_t slab_rows = std::max<uint64_t>(1, kSlabBytes / std::max<uint64_t>(1, row_bytes));
    for (uint64_t begin = 0; begin < rows; begin += slab_rows) {
      RETURN_IF_ERROR(check_cancelled());
      const uint64_t n = std::min(slab_rows, rows - begin);
      const TensorView slab{
          weights.dtype, {n, cols}, weights.bytes.subspan(begin * row_bytes, n * row_bytes)};
      ASSIGN_OR_RETURN(QuantizedMatrix part, method_.quantize({slab, tensor_scale}, pool_));
      const TensorError part_error = measure_error(slab, part.view(), pool_);
      merge_error(error, part_error);
      error.target = part_error.target;
      release_mapped(slab.bytes);
      if (n == rows) {
        whole = std::move(part);
        continue;
      }
      whole.codes.insert(whole.codes.end(), part.codes.begin(), part.codes.end());
      whole.scales.insert(whole.scales.end(), part.scales.begin(), part.scales.end());
    }
    whole.rows = rows;
    whole.cols = cols;
    whole.tensor_scale = error.tensor_scale = tensor_scale;
    error.shape = weights.shape;
    return {};
  }

  Status quantize_to_fp8(const PlanRow& row, QuantizeReport& report) {
    ASSIGN_OR_RETURN(const float amax, amax_of(row));
    const std::string hash = reader_->hash_of(*row.tensor);
    ASSIGN_OR_RETURN(const Weights owned, weights_of(*row.tensor));
    const TensorView& weights = owned.view;
    std::vector<float> scales = row.target.weights == WeightTarget::kFp8Channel
                                    ? fp8_row_scales(weights, pool_)
                                    : std::vector<float>{fp8_scale(amax)};
    const auto matrix =
        std::make_shared<Fp8Matrix>(quantize_fp8(weights, std::move(scales), pool_));
    if (row.target.has_input_scale) {
      matrix->input_scale = fp8_scale(ranges_.inputs.at(row.tensor));
    }
    const TensorError error = measure_error(weights, matrix->view(), pool_);
    const TensorNote note{hash, error_record(add_error(row, error, report))};
    release_mapped(weights.bytes);
    return write(matrix->codes.size(), [this, matrix, note]() -> Status {
      writer_.annotate(note);
      return writer_.write_fp8(matrix->view());
    });
  }

  static const TensorError& add_error(const PlanRow& row, TensorError error,
                                      QuantizeReport& report) {
    error.name = row.tensor->name;
    error.role = *row.role;
    error.target = row.target;
    report.tensors.push_back(std::move(error));
    return report.tensors.back();
  }

  // The largest magnitude of the matrix or, for a member of a fused group, of the whole group,
  // found when the first member comes.
  Result<float> amax_of(const PlanRow& row) {
    if (row.fused_group.empty()) return amax_of_tensor(*row.tensor, true);
    const auto known = group_amax_.find(row.fused_group);
    if (known != group_amax_.end()) return known->second;
    float amax = 0.0f;
    for (const TensorInfo* member : groups_.at(row.fused_group)) {
      ASSIGN_OR_RETURN(const float own, amax_of_tensor(*member, member == row.tensor));
      amax = std::max(amax, own);
    }
    group_amax_.emplace(row.fused_group, amax);
    return amax;
  }

  // In pieces behind the reader, where the tensor is the one that it reads for us. Pages of one
  // that is larger than a slab are given back: it is read again.
  Result<float> amax_of_tensor(const TensorInfo& tensor, bool is_next) {
    ASSIGN_OR_RETURN(const Weights weights, weights_of(tensor));
    const TensorView& values = weights.view;
    const uint64_t total = values.bytes.size();
    const size_t element_bytes = dtype_bytes(values.dtype);
    float amax = 0.0f;
    for (uint64_t begin = 0; begin < total; begin += kPieceBytes) {
      const auto bytes = values.bytes.subspan(begin, std::min(kPieceBytes, total - begin));
      if (is_next) reader_->wait_for(tensor, begin + bytes.size());
      const TensorView piece{values.dtype, {bytes.size() / element_bytes}, bytes};
      ASSIGN_OR_RETURN(const float own,
                       largest_magnitude(tensor, piece, begin / element_bytes, pool_));
      amax = std::max(amax, own);
      if (total > kSlabBytes) release_mapped(bytes);
    }
    return amax;
  }

  const Plan& plan_;
  const ActivationRanges& ranges_;
  const Method& method_;
  CheckpointWriter& writer_;
  const ProgressSink& progress_;
  ThreadPool pool_;
  std::unordered_map<const TensorInfo*, const PlanRow*> rows_;
  std::unordered_map<std::string, std::vector<const TensorInfo*>> groups_;
  std::unordered_map<std::string, float> group_amax_;
  std::atomic<uint64_t> n_written_bytes_{0};
  std::unique_ptr<ReadAhead> reader_;
  std::unique_ptr<OrderedWorker> worker_;
};

}  // namespace

Result<QuantizeReport> run_quantize(const QuantizeJob& job, const Plan& plan,
                                    const ProgressSink& progress) {
  const Method* method = find_method(job.method);
  if (method == nullptr) {
    return Error(ErrorCode::kInvalidArgument, fmt::format("there is no method \"{}\"", job.method));
  }
  const Stopwatch stopwatch;
  QuantizeReport report;
  ActivationRanges ranges;
  if (plan.needs_calibration()) {
    ASSIGN_OR_RETURN(ranges,
                     find_activation_ranges(plan, job.calibration, job.n_threads, progress));
    report.n_calibration_tokens = ranges.n_tokens;
  }
  std::vector<PlannedTensor> planned;
  planned.reserve(plan.rows.size());
  for (const PlanRow& row : plan.rows) {
    planned.push_back({row.tensor, row.target.weights, row.target.has_input_scale});
    const auto cached = ranges.cached.find(row.tensor);
    if (cached != ranges.cached.end()) planned.back().cache_scale = fp8_scale(cached->second);
    report.n_source_bytes += row.tensor->n_bytes;
  }
  WriterOptions options;
  options.dialect = job.dialect;
  options.force = job.force;
  options.command = command_json(job, plan, ranges);
  ASSIGN_OR_RETURN(
      const std::unique_ptr<CheckpointWriter> writer,
      CheckpointWriter::create(plan.source, std::move(planned), job.destination, options));

  Pipeline pipeline(job, plan, ranges, *method, *writer, progress);
  if (Status status = pipeline.run(report); !status) {
    const Error& error = status.error();
    return error.code == ErrorCode::kCancelled ? keep_interrupted(error, job.dialect, *writer)
                                               : error;
  }
  report.n_output_bytes = writer->total_bytes();
  report.elapsed_s = stopwatch.elapsed_s();
  return report;
}

}  // namespace nibble

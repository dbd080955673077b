#include "quantize/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>

#include "checkpoint/writer.h"
#include "core/bytes.h"
#include "core/cancel.h"
#include "core/clock.h"
#include "model/config.h"
#include "numbers/nvfp4.h"
#include "quantize/interrupted.h"
#include "quantize/shared_scales.h"
#include "quantize/verification/stored_values_check.h"

namespace nibble {
namespace {

constexpr std::string_view kHf = "hf";
constexpr std::string_view kGguf = "gguf";
constexpr std::string_view kCompressedTensors = "compressed-tensors";

constexpr std::array<std::pair<std::string_view, PlainType>, 5> kPlainTypes = {{
    {"keep", PlainType::kKeep},
    {"bf16", PlainType::kBF16},
    {"f16", PlainType::kF16},
    {"f32", PlainType::kF32},
    {"q8_0", PlainType::kQ8_0},
}};

Result<PlainType> plain_type_of(const ConvertJob& job) {
  for (const auto& [name, type] : kPlainTypes) {
    if (name != job.plain_type) continue;
    if (type != PlainType::kKeep && job.dialect != kGguf) {
      return Error(ErrorCode::kInvalidArgument,
                   "another type for unquantized matrices can be chosen for gguf only",
                   job.plain_type);
    }
    return type;
  }
  return Error(ErrorCode::kInvalidArgument, "is not a type of unquantized matrices",
               job.plain_type);
}

// What stays the same between the tensors of one conversion.
class Conversion {
 public:
  Conversion(const ConvertJob& job, std::shared_ptr<const Checkpoint> source,
             const ModelConfig& config, const ProgressSink& progress)
      : job_(job), source_(std::move(source)), roles_(config), progress_(progress) {}

  Result<ConvertReport> run() {
    const Stopwatch stopwatch;
    report_.from = std::string(source_->dialect());
    report_.to = job_.dialect;
    ASSIGN_OR_RETURN(const PlainType plain_type, plain_type_of(job_));
    if (!job_.dequantize) RETURN_IF_ERROR(check_scales(*source_));
    RETURN_IF_ERROR(check_target());
    RETURN_IF_ERROR(plan());
    WriterOptions options;
    options.dialect = job_.dialect;
    options.force = job_.force;
    options.plain_type = plain_type;
    options.command = command();
    ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointWriter> writer,
                     CheckpointWriter::create(source_, planned_, job_.destination, options));
    note_left_out(*writer);
    if (const Status status = write(*writer); !status) {
      const Error& error = status.error();
      return error.code == ErrorCode::kCancelled ? keep_interrupted(error, job_.dialect, *writer)
                                                 : error;
    }
    report_.n_output_bytes = writer->total_bytes();
    report_.elapsed_s = stopwatch.elapsed_s();
    return std::move(report_);
  }

 private:
  // Everything that could change a byte of the output.
  Json command() const {
    return Json{{"command", "convert"},
                {"to", job_.dialect},
                {"dequantize", job_.dequantize},
                {"keep_unequal", job_.keep_unequal},
                {"drop_cache_scales", job_.drop_cache_scales},
                {"plain_type", job_.plain_type}};
  }

  static bool is_quantized(const TensorInfo& tensor) { return tensor.storage != Storage::kPlain; }
  static bool is_nvfp4(const TensorInfo& tensor) {
    return tensor.storage == Storage::kNvfp4 ||
           (tensor.storage == Storage::kBlocks && tensor.block_kind == BlockKind::kNvfp4);
  }
  static bool is_fp8(const TensorInfo& tensor) { return tensor.storage == Storage::kFp8; }

  // Whether the target holds that storage without decoding it.
  bool holds(const TensorInfo& tensor) const {
    if (!is_quantized(tensor)) return true;
    if (job_.dialect == kHf) return false;
    if (job_.dialect == kGguf) return !is_fp8(tensor);
    return is_nvfp4(tensor) || is_fp8(tensor);
  }

  // What cannot be held must be decoded, which the user has to ask for; only FP8 goes to GGUF as
  // BF16 unasked, because that loses nothing.
  Status check_target() const {
    std::map<std::string_view, size_t> refused;
    size_t n_quantized = 0;
    for (const TensorInfo& tensor : source_->tensors()) {
      n_quantized += is_quantized(tensor) ? 1 : 0;
      const bool is_silent = job_.dialect == kGguf && is_fp8(tensor);
      if (!holds(tensor) && !is_silent) ++refused[storage_name(tensor)];
    }
    const bool to_quantized = job_.dialect != kHf && job_.dialect != kGguf;
    if (to_quantized && (n_quantized == 0 || job_.dequantize)) {
      return Error(ErrorCode::kInvalidArgument,
                   fmt::format("{} is for quantized weights, of which the output would hold none; "
                               "use \"nibble quantize --to {}\" to quantize, or --to hf",
                               job_.dialect, job_.dialect),
                   job_.source);
    }
    if (refused.empty() || job_.dequantize) return {};
    std::vector<std::string> kinds;
    kinds.reserve(refused.size());
    for (const auto& [name, n] : refused) kinds.push_back(fmt::format("{} in {}", n, name));
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("holds quantized matrices ({}), which {} cannot store; {}",
                             fmt::join(kinds, ", "), job_.dialect,
                             to_quantized ? "convert with --to hf --dequantize first, then quantize"
                                          : "give --dequantize to store their values as BF16"),
                 job_.source);
  }

  Status plan() {
    SharedScales shared;
    const bool fuses = job_.dialect != kHf && job_.dialect != kGguf;
    if (fuses && !job_.keep_unequal) {
      ASSIGN_OR_RETURN(shared, find_shared_scales(*source_, roles_));
    }
    shared_ = std::move(shared);
    planned_.reserve(source_->tensors().size());
    for (const TensorInfo& tensor : source_->tensors()) {
      ++report_.n_tensors;
      report_.n_source_bytes += tensor.n_bytes;
      PlannedTensor planned{&tensor};
      if (is_cache_scale(tensor)) {
        planned.target = WeightTarget::kLeaveOut;
      } else if (is_quantized(tensor) && (job_.dequantize || !holds(tensor))) {
        planned.target = WeightTarget::kDecode;
        ++report_.n_dequantized;
      } else if (is_quantized(tensor)) {
        ++report_.n_quantized;
        plan_quantized(tensor, planned);
      }
      planned_.push_back(planned);
    }
    return plan_cache_scales();
  }

  void plan_quantized(const TensorInfo& tensor, PlannedTensor& planned) {
    if (!is_nvfp4(tensor)) return;
    const MatrixSource matrix = source_->matrix(tensor);
    const auto* blocks = std::get_if<BlockMatrixView>(&matrix);
    const auto* nvfp4 = std::get_if<QuantizedMatrixView>(&matrix);
    const bool is_shared = shared_.count(&tensor) != 0;
    const float scale = blocks != nullptr ? blocks->tensor_scale : nvfp4->tensor_scale;
    const bool moves =
        job_.dialect == kCompressedTensors &&
        canonical_tensor_scale(shared_scale(tensor, scale)) != shared_scale(tensor, scale);
    if (!is_shared && !moves) return;
    planned.target = WeightTarget::kNvfp4;
    planned.has_input_scale =
        blocks != nullptr ? blocks->input_scale.has_value() : nvfp4->input_scale.has_value();
    report_.n_rescaled += is_shared ? 1 : 0;
    report_.n_moved_scales += moves ? 1 : 0;
  }

  float shared_scale(const TensorInfo& tensor, float own) const {
    const auto at = shared_.find(&tensor);
    return at == shared_.end() ? own : at->second;
  }

  bool is_cache_scale(const TensorInfo& tensor) const {
    return roles_.role_of(tensor.name) == TensorRole::kCacheScale;
  }

  // Scales of an FP8 cache stand beside the attention in one dialect and below its projections in
  // another: they are read here and travel with the projections.
  Status plan_cache_scales() {
    if (job_.drop_cache_scales || job_.dialect == kHf || job_.dialect == kGguf) return {};
    for (PlannedTensor& planned : planned_) {
      const std::string& name = planned.source->name;
      for (const char* part : {"k", "v"}) {
        const std::string ending = fmt::format(".{}_proj.weight", part);
        if (!name.ends_with(ending)) continue;
        const std::string attention = name.substr(0, name.size() - ending.size());
        const TensorInfo* scale = source_->find(fmt::format("{}.{}_scale", attention, part));
        if (scale == nullptr) {
          scale = source_->find(fmt::format("{}.{}_proj.{}_scale", attention, part, part));
        }
        if (scale != nullptr) RETURN_IF_ERROR(take_cache_scale(*scale, planned));
      }
    }
    return {};
  }

  Status take_cache_scale(const TensorInfo& scale, PlannedTensor& planned) const {
    const auto value = read_cache_scale(*source_, scale);
    if (!value) {
      return Error(value.error().code,
                   fmt::format("{}; give --drop-cache-scales to leave such scales out",
                               value.error().message),
                   scale.name);
    }
    planned.cache_scale = *value;
    return {};
  }

  void note_left_out(const CheckpointWriter& writer) {
    std::unordered_map<const TensorInfo*, bool> written;
    for (const PlannedTensor& planned : writer.plan()) written[planned.source] = true;
    for (const PlannedTensor& planned : planned_) {
      const bool travels = is_cache_scale(*planned.source) && job_.dialect != kHf &&
                           job_.dialect != kGguf && !job_.drop_cache_scales;
      if (written.count(planned.source) != 0 || travels) continue;
      report_.left_out.push_back(planned.source->name);
    }
  }

  Status write(CheckpointWriter& writer) {
    const auto plan = writer.plan().subspan(writer.taken_over().size());
    for (const PlannedTensor& planned : plan) {
      RETURN_IF_ERROR(check_cancelled());
      show_progress(planned.source->stored_name, writer);
      if (planned.target == WeightTarget::kNvfp4) {
        RETURN_IF_ERROR(write_rescaled(*planned.source, writer));
      } else {
        RETURN_IF_ERROR(writer.write_source());
      }
      source_->release(*planned.source);
    }
    show_progress({}, writer);
    RETURN_IF_ERROR(check_cancelled());
    RETURN_IF_ERROR(source_->intact());
    return writer.finish();
  }

  Status write_rescaled(const TensorInfo& tensor, CheckpointWriter& writer) const {
    QuantizedMatrix owned;
    QuantizedMatrixView matrix = *canonical_matrix(*source_, tensor, owned);
    QuantizedMatrix rescaled;
    const float shared = shared_scale(tensor, matrix.tensor_scale);
    if (shared != matrix.tensor_scale) {
      rescaled = rescale_exactly(matrix, shared);
      matrix = rescaled.view();
    }
    if (job_.dialect == kCompressedTensors) {
      matrix.tensor_scale = canonical_tensor_scale(matrix.tensor_scale);
    }
    return writer.write_nvfp4(matrix);
  }

  void show_progress(const std::string& item, const CheckpointWriter& writer) const {
    if (!progress_) return;
    progress_({"convert", item, writer.n_written_bytes(), writer.total_bytes(), true});
  }

  const ConvertJob& job_;
  std::shared_ptr<const Checkpoint> source_;
  TensorRoles roles_;
  const ProgressSink& progress_;
  SharedScales shared_;
  std::vector<PlannedTensor> planned_;
  ConvertReport report_;
};

}  // namespace

std::vector<std::string_view> convert_dialects() {
  std::vector<std::string_view> names = writable_dialects();
  names.push_back(kHf);
  return names;
}

std::vector<std::string_view> convert_plain_types() {
  std::vector<std::string_view> names;
  names.reserve(kPlainTypes.size());
  for (const auto& [name, type] : kPlainTypes) names.push_back(name);
  return names;
}

Result<ConvertReport> run_convert(const ConvertJob& job, const ProgressSink& progress) {
  ASSIGN_OR_RETURN(std::shared_ptr<const Checkpoint> source, Checkpoint::open(job.source));
  ASSIGN_OR_RETURN(const ModelConfig config,
                   parse_model_config(source->config(), job.source + "/config.json"));
  RETURN_IF_ERROR(check_tensors(*source, config));
  Conversion conversion(job, std::move(source), config, progress);
  return conversion.run();
}

Json convert_json(const ConvertReport& report) {
  return Json{{"from", report.from},
              {"to", report.to},
              {"n_tensors", report.n_tensors},
              {"n_quantized", report.n_quantized},
              {"n_dequantized", report.n_dequantized},
              {"n_rescaled", report.n_rescaled},
              {"n_moved_scales", report.n_moved_scales},
              {"left_out", report.left_out},
              {"n_source_bytes", report.n_source_bytes},
              {"n_output_bytes", report.n_output_bytes},
              {"elapsed_s", report.elapsed_s}};
}

std::string convert_text(const ConvertReport& report) {
  std::string text =
      fmt::format("{} -> {}: {} tensors, {} -> {}\n", report.from, report.to, report.n_tensors,
                  human_bytes(report.n_source_bytes), human_bytes(report.n_output_bytes));
  if (report.n_quantized > 0) {
    text += fmt::format("  {} quantized matrices keep their codes and block scales\n",
                        report.n_quantized);
  }
  if (report.n_dequantized > 0) {
    text += fmt::format("  {} quantized matrices became plain values\n", report.n_dequantized);
  }
  if (report.n_rescaled > 0) {
    text += fmt::format("  {} fused siblings got their group's tensor scale, exactly\n",
                        report.n_rescaled);
  }
  if (report.n_moved_scales > 0) {
    text += fmt::format(
        "  {} tensor scales moved by one unit in the last place, because compressed-tensors stores "
        "reciprocals\n",
        report.n_moved_scales);
  }
  if (!report.left_out.empty()) {
    text += fmt::format("  {} tensors have no place in the output ({}{})\n", report.left_out.size(),
                        report.left_out.front(), report.left_out.size() > 1 ? ", ..." : "");
  }
  return text;
}

}  // namespace nibble

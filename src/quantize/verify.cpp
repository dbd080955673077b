#include "quantize/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "core/cancel.h"
#include "core/clock.h"
#include "model/config.h"
#include "quantize/error_report.h"
#include "quantize/magnitude.h"
#include "quantize/verification/dialect_check.h"
#include "quantize/verification/folder_check.h"
#include "quantize/verification/matrix_check.h"
#include "quantize/verification/problem_kinds.h"
#include "quantize/verification/stored_values_check.h"

namespace nibble {
namespace {

// Far above what any useful NVFP4 matrix loses (about 0.01), far below what mixed-up scales cost.
constexpr double kMaxRelativeMse = 0.05;

class Verifier {
 public:
  Verifier(const Checkpoint& checkpoint, const Checkpoint* source, size_t n_threads,
           const ProgressSink& progress, VerifyReport& report)
      : checkpoint_(checkpoint),
        source_(source),
        progress_(progress),
        report_(report),
        pool_(n_threads) {}

  Status run() {
    for (const TensorInfo& tensor : checkpoint_.tensors()) {
      ++report_.n_tensors;
      report_.n_bytes += tensor.n_bytes;
      report_.n_quantized += tensor.storage == Storage::kNvfp4 ? 1 : 0;
    }
    check_model();
    if (!is_gguf_dialect(checkpoint_)) {
      check_index(checkpoint_.folder(), report_.dialect, report_.problems);
    }
    RETURN_IF_ERROR(check_tensors_one_by_one());
    if (source_ == nullptr) return checkpoint_.intact();
    check_nothing_missing();
    if (crosses_gguf()) {
      check_model_settings(source_->config(), checkpoint_.config(), report_.problems);
    } else {
      check_config(source_->config(), checkpoint_.config(), report_.problems);
      ASSIGN_OR_RETURN(report_.n_identical_files,
                       check_files(source_->folder(), checkpoint_.folder(), report_.problems));
    }
    RETURN_IF_ERROR(source_->intact());
    return checkpoint_.intact();
  }

 private:
  void add(const ProblemKind& kind, const std::string& subject, std::string message) {
    report_.problems.push_back(problem(kind, subject, std::move(message)));
  }

  // Config and tensors agree; members of fused groups share a tensor scale.
  void check_model() {
    const std::string path = checkpoint_.folder() + "/config.json";
    const Result<ModelConfig> config = parse_model_config(checkpoint_.config(), path);
    if (!config) return add(kConfigUnreadable, "config.json", config.error().message);
    if (const Status fits = check_tensors(checkpoint_, *config); !fits) {
      add(kTensorsDoNotFit, checkpoint_.folder(), fits.error().message);
    }
    const TensorRoles roles(*config);
    std::map<std::string, std::vector<const TensorInfo*>> groups;
    for (const TensorInfo& tensor : checkpoint_.tensors()) {
      if (const auto role = roles.role_of(tensor.name)) roles_[&tensor] = *role;
      const TensorSpec* spec = roles.find(tensor.name);
      if (spec == nullptr || spec->fused_group.empty()) continue;
      groups[spec->fused_group].push_back(&tensor);
    }
    for (const auto& [group, members] : groups) check_group(group, members);
  }

  void check_group(const std::string& group, const std::vector<const TensorInfo*>& members) {
    const TensorInfo& first = *members.front();
    for (const TensorInfo* member : members) {
      if (member->storage != first.storage) {
        add(kSiblingsDiffer, group,
            fmt::format("only one of {} and {} is quantized", first.name, member->name));
      } else if (member->storage == Storage::kNvfp4) {
        const float own = checkpoint_.nvfp4(*member).tensor_scale;
        const float shared = checkpoint_.nvfp4(first).tensor_scale;
        if (own == shared) continue;
        add(kSiblingsDiffer, group,
            fmt::format("the tensor scale of {} is {}, that of {} is {}", first.name, shared,
                        member->name, own));
      } else if (member->storage == Storage::kFp8) {
        check_fp8_siblings(group, first, *member);
      }
    }
  }

  void check_fp8_siblings(const std::string& group, const TensorInfo& first,
                          const TensorInfo& member) {
    const auto ours = std::get<Fp8MatrixView>(checkpoint_.matrix(member));
    const auto theirs = std::get<Fp8MatrixView>(checkpoint_.matrix(first));
    const bool per_matrix = ours.scales.size() == 1 && theirs.scales.size() == 1;
    if (!per_matrix || ours.scales[0] == theirs.scales[0]) return;
    add(kSiblingsDiffer, group,
        fmt::format("the FP8 scale of {} is {}, that of {} is {}", first.name, theirs.scales[0],
                    member.name, ours.scales[0]));
  }

  Status check_tensors_one_by_one() {
    uint64_t n_done_bytes = 0;
    for (const TensorInfo& tensor : checkpoint_.tensors()) {
      RETURN_IF_ERROR(check_cancelled());
      if (progress_) {
        progress_({"verify", tensor.stored_name, n_done_bytes, report_.n_bytes, true});
      }
      if (tensor.storage == Storage::kNvfp4) {
        check_matrix_scales(tensor.name, checkpoint_.nvfp4(tensor), report_.problems);
      } else if (tensor.storage != Storage::kPlain) {
        check_codes_finite(checkpoint_, tensor, pool_, report_.problems);
      } else if (const auto role = roles_.find(&tensor);
                 role != roles_.end() && role->second == TensorRole::kCacheScale) {
        check_cache_scale(checkpoint_, tensor, report_.problems);
      }
      if (source_ != nullptr) check_against_source(tensor);
      checkpoint_.release(tensor);
      n_done_bytes += tensor.n_bytes;
    }
    if (progress_) progress_({"verify", "", n_done_bytes, report_.n_bytes, true});
    return {};
  }

  void check_against_source(const TensorInfo& tensor) {
    const TensorInfo* original = source_->find(tensor.name);
    if (original == nullptr && roles_[&tensor] == TensorRole::kCacheScale) return;
    if (original == nullptr) {
      return add(kTensorSurplus, tensor.name,
                 fmt::format("{} is not in the source", shape_text(tensor.shape)));
    }
    if (original->shape != tensor.shape) {
      return add(kShapeDiffers, tensor.name,
                 fmt::format("has the shape {}, the source has {}", shape_text(tensor.shape),
                             shape_text(original->shape)));
    }
    const bool both_plain =
        tensor.storage == Storage::kPlain && original->storage == Storage::kPlain;
    if (both_plain && !crosses_gguf()) {
      check_kept(tensor, *original);
    } else {
      check_across(tensor, *original);
    }
    source_->release(*original);
  }

  // Whether one of the two is a GGUF file, which states the same model in another way.
  bool crosses_gguf() const { return is_gguf_dialect(checkpoint_) || is_gguf_dialect(*source_); }

  void check_kept(const TensorInfo& tensor, const TensorInfo& original) {
    if (original.dtype != tensor.dtype) {
      return add(kTypeDiffers, tensor.name,
                 fmt::format("is {}, the source has {}", dtype_name(tensor.dtype),
                             dtype_name(original.dtype)));
    }
    const std::span<const std::byte> ours = checkpoint_.plain(tensor).bytes;
    const std::span<const std::byte> theirs = source_->plain(original).bytes;
    const auto at = std::mismatch(ours.begin(), ours.end(), theirs.begin(), theirs.end()).first;
    if (at == ours.end()) {
      ++report_.n_identical_tensors;
      return;
    }
    add(kBytesDiffer, tensor.name,
        fmt::format("is kept, but differs from the source from element {} on",
                    static_cast<size_t>(at - ours.begin()) / dtype_bytes(tensor.dtype)));
  }

  // Compares in the form that all dialects share.
  void check_across(const TensorInfo& tensor, const TensorInfo& original) {
    const Result<ArrangedMatrix> ours = grouped_matrix(checkpoint_, tensor);
    const Result<ArrangedMatrix> theirs = grouped_matrix(*source_, original);
    if (!ours || !theirs) {
      return add(kTypeDiffers, tensor.name, (ours ? theirs : ours).error().message);
    }
    const bool is_vector = crosses_gguf() && tensor.shape.size() == 1;
    const Result<Agreement> agreement = compare_across(
        ours->source, theirs->source, checkpoint_.dialect() != source_->dialect(), is_vector);
    if (!agreement) return add(kTypeDiffers, tensor.name, agreement.error().message);
    if (*agreement == Agreement::kQuantized) {
      return check_quantized(tensor, original, ours->source, std::get<TensorView>(theirs->source));
    }
    if (*agreement == Agreement::kSame) {
      ++report_.n_identical_tensors;
    } else {
      add(kBytesDiffer, tensor.name, "its codes, scales or values differ from those of the source");
    }
  }

  void check_quantized(const TensorInfo& tensor, const TensorInfo& original,
                       const MatrixSource& stored, const TensorView& weights) {
    if (!is_floating(original.dtype)) {
      return add(
          kTypeDiffers, tensor.name,
          fmt::format("is {}, the source has {}", storage_name(tensor), storage_name(original)));
    }
    if (const auto magnitude = largest_magnitude(*source_, original, pool_); !magnitude) {
      return add(kNotFiniteSource, tensor.name, magnitude.error().message);
    }
    TensorError error;
    if (const auto* matrix = std::get_if<QuantizedMatrixView>(&stored)) {
      check_matrix_codes(tensor.name, weights, *matrix, pool_, report_.problems);
      error = measure_error(weights, *matrix, pool_);
    } else if (const auto* fp8 = std::get_if<Fp8MatrixView>(&stored)) {
      error = measure_error(weights, *fp8, pool_);
    } else {
      return check_blocks(tensor, stored, weights);
    }
    error.name = tensor.name;
    if (const auto role = roles_.find(&tensor); role != roles_.end()) error.role = role->second;
    if (!(error.relative_mse <= kMaxRelativeMse)) {
      add(kErrorTooLarge, tensor.name,
          fmt::format("its relative squared error is {:.4g}; NVFP4 loses about 0.01, and more than "
                      "{} is never right",
                      error.relative_mse, kMaxRelativeMse));
    }
    report_.matrices.push_back(std::move(error));
  }

  // Blocks of GGUF, chosen by whoever wrote the file: only their distance can be judged.
  void check_blocks(const TensorInfo& tensor, const MatrixSource& stored,
                    const TensorView& weights) {
    const Result<double> error = relative_mse_across(stored, weights);
    if (error && *error <= kMaxRelativeMse) return;
    add(kErrorTooLarge, tensor.name,
        error ? fmt::format("its relative squared error is {:.4g}; more than {} is never right",
                            *error, kMaxRelativeMse)
              : error.error().message);
  }

  // What a GGUF file has no place for, and what other dialects name differently.
  bool may_be_missing(const TensorInfo& original) const {
    const bool is_cache_scale =
        original.name.ends_with(".k_scale") || original.name.ends_with(".v_scale");
    if (is_cache_scale) return checkpoint_.dialect() != source_->dialect();
    return is_gguf_dialect(checkpoint_) && original.name.starts_with("visual.");
  }

  void check_nothing_missing() {
    for (const TensorInfo& original : source_->tensors()) {
      if (checkpoint_.find(original.name) != nullptr || may_be_missing(original)) continue;
      add(kTensorMissing, original.name,
          fmt::format("{} of the source is not in the export", shape_text(original.shape)));
    }
  }

  const Checkpoint& checkpoint_;
  const Checkpoint* source_;
  const ProgressSink& progress_;
  VerifyReport& report_;
  ThreadPool pool_;
  std::map<const TensorInfo*, TensorRole> roles_;
};

// A folder that is there but does not open is a finding, not a failure to look.
bool is_finding(const Error& error, const std::string& folder) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) return false;
  return error.code != ErrorCode::kPermission && error.code != ErrorCode::kIo &&
         error.code != ErrorCode::kOutOfMemory;
}

}  // namespace

Result<VerifyReport> verify_checkpoint(const std::string& folder,
                                       const std::optional<std::string>& source, size_t n_threads,
                                       const ProgressSink& progress) {
  const Stopwatch stopwatch;
  VerifyReport report;
  report.folder = folder;
  report.source = source;
  std::shared_ptr<const Checkpoint> original;
  if (source) {
    ASSIGN_OR_RETURN(original, Checkpoint::open(*source));
  }
  const Result<std::shared_ptr<const Checkpoint>> opened = Checkpoint::open(folder);
  if (!opened) {
    if (!is_finding(opened.error(), folder)) return opened.error();
    const std::string& subject = opened.error().subject;
    report.problems.push_back(
        problem(kDoesNotOpen, subject.empty() ? folder : subject, opened.error().message));
    return report;
  }
  report.dialect = std::string((*opened)->dialect());
  Verifier verifier(**opened, original.get(), n_threads, progress, report);
  RETURN_IF_ERROR(verifier.run());
  report.elapsed_s = stopwatch.elapsed_s();
  return report;
}

}  // namespace nibble

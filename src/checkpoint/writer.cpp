#include "checkpoint/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "checkpoint/dialects/dialect.h"
#include "checkpoint/gguf_output/gguf_file_writer.h"
#include "checkpoint/output/carried_files.h"
#include "checkpoint/output/output_ledger.h"
#include "checkpoint/output/output_plan.h"
#include "checkpoint/output/run_identity.h"
#include "checkpoint/output/target_folder.h"
#include "core/file.h"

namespace nibble {
namespace {

// For config.json, the index and folder entries.
constexpr uint64_t kSpareBytes = uint64_t{4} << 20;

// The container that is no folder, and the dialect that holds nothing quantized.
constexpr std::string_view kGgufDialect = "gguf";

const Dialect* find_writable(std::string_view name) {
  for (const Dialect* dialect : dialects()) {
    const bool writable = dialect->declare != nullptr || dialect == &kPlainHfDialect;
    if (writable && dialect->name == name) return dialect;
  }
  return nullptr;
}

// Pages are written in pieces of this size.
constexpr size_t kPieceBytes = size_t{16} << 20;

// What a power cut may cost at most; syncing more often would wait for the disk more often.
constexpr uint64_t kSyncStepBytes = uint64_t{256} << 20;

// Of one tensor in the manifest, with room to spare.
constexpr uint64_t kManifestRowBytes = 1024;

// Reads one byte of every page. A page that vanished from a mapped file becomes zeros and is
// remembered when the program touches it, but only fails the call when the kernel does.
void touch_pages(std::span<const std::byte> bytes) {
  constexpr size_t kPageBytes = 4096;
  const volatile std::byte* data = bytes.data();
  std::byte last{};
  for (size_t i = 0; i < bytes.size(); i += kPageBytes) last = data[i];
  if (!bytes.empty()) last = data[bytes.size() - 1];
  static_cast<void>(last);
}

// The source's config with one description of quantization, or none.
Json output_config(const Checkpoint& source, const Dialect& dialect, const OutputPlan& plan,
                   std::vector<std::pair<std::string, std::string>>& files) {
  Json config = folder_config(source);
  config.erase("compression_config");
  if (const auto text = config.find("text_config"); text != config.end() && text->is_object()) {
    text->erase("quantization_config");
    text->erase("compression_config");
  }
  if (plan.any_quantized()) {
    files = dialect.describe(plan.summary, config);
  } else {
    config.erase("quantization_config");
  }
  return config;
}

// Everything that writing a folder needs.
struct FolderOutput {
  std::shared_ptr<const Checkpoint> source;
  const Dialect* dialect = nullptr;
  OutputPlan output;
  std::vector<PlannedTensor> plan;
  CarriedFiles carried;
  TargetFolder target;
  Json command;  // null: no journal, no manifest
  std::optional<OutputLedger> ledger;
  std::optional<SafetensorsWriter> shard;
  size_t next = 0;  // tensor to be written
  size_t n_taken_over = 0;
  uint64_t n_piece_bytes = 0;  // of the next tensor, written by write_piece
  uint64_t n_unsynced_bytes = 0;
  uint64_t n_written_bytes = 0;

  std::string path(const std::string& name) const { return target.partial() + "/" + name; }

  // A full disk leaves the work in place and says where.
  Status note(Status status) {
    if (status || status.error().code != ErrorCode::kNoSpace) return status;
    target.keep();
    return Error(ErrorCode::kNoSpace,
                 fmt::format("{}; the disk is full. What was written so far is in {}: free some "
                             "space and run again{}, or remove that folder",
                             status.error().message, target.partial(),
                             command.is_null() ? "" : " to go on from there"),
                 status.error().subject);
  }

  // Goes on behind what an earlier run wrote.
  Status take_over() {
    ledger.emplace(output);
    if (!target.resumed() && !target.already_committed()) return {};
    RETURN_IF_ERROR(ledger->take_over(target));
    n_taken_over = next = ledger->n_complete();
    for (size_t i = 0; i < next; ++i) n_written_bytes += output.tensors[i].n_bytes;
    if (target.already_committed()) return {};
    const size_t n_shards =
        next == 0 ? 0 : output.tensors[std::min(next, output.tensors.size() - 1)].shard + 1;
    RETURN_IF_ERROR(target.remove_all_but([&](const std::string& name) {
      return std::any_of(output.shards.begin(),
                         output.shards.begin() + static_cast<ptrdiff_t>(n_shards),
                         [&](const OutputShard& kept) { return kept.name == name; });
    }));
    return sync_whole_shards();
  }

  // The earlier run may have died before it synced a shard that it had filled.
  Status sync_whole_shards() {
    for (size_t i = 0; i < next; ++i) {
      const size_t index = output.tensors[i].shard;
      if (i + 1 < output.tensors.size() && output.tensors[i + 1].shard == index) continue;
      const OutputShard& whole = output.shards[index];
      ASSIGN_OR_RETURN(SafetensorsWriter writer,
                       SafetensorsWriter::resume(path(whole.name), whole.declarations,
                                                 whole.declarations.size()));
      RETURN_IF_ERROR(writer.finish());
    }
    return {};
  }

  // Makes `shard` the file that holds the next tensor.
  Status open_shard() {
    const OutputTensor& tensor = output.tensors[next];
    const bool same = next > 0 && output.tensors[next - 1].shard == tensor.shard;
    if (same && shard) return {};
    RETURN_IF_ERROR(close_shard());
    const OutputShard& opened = output.shards[tensor.shard];
    auto writer =
        same ? SafetensorsWriter::resume(path(opened.name), opened.declarations, tensor.first_part)
             : SafetensorsWriter::create(path(opened.name), opened.declarations);
    if (!writer) return writer.error();
    shard.emplace(std::move(*writer));
    return {};
  }

  Status close_shard() {
    if (!shard) return {};
    Status status = shard->finish();
    shard.reset();
    return status;
  }

  Status append_to_part(size_t part, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto piece = bytes.first(std::min(bytes.size(), kPieceBytes));
      touch_pages(piece);
      RETURN_IF_ERROR(shard->write(output.tensors[next].first_part + part, piece));
      ledger->add_bytes(piece);
      n_written_bytes += piece.size();
      n_unsynced_bytes += piece.size();
      bytes = bytes.subspan(piece.size());
    }
    return {};
  }

  Status write_part(size_t part, std::span<const std::byte> bytes) {
    RETURN_IF_ERROR(append_to_part(part, bytes));
    ledger->end_part();
    return {};
  }

  // The next tensor is complete.
  Status end_tensor() {
    if (const auto scale = output.tensors[next].planned.cache_scale) {
      RETURN_IF_ERROR(
          write_part(output.tensors[next].n_parts - 1, std::as_bytes(std::span(&*scale, 1))));
    }
    RETURN_IF_ERROR(ledger->end_tensor(command.is_null() ? nullptr : &target.journal()));
    ++next;
    if (command.is_null() || n_unsynced_bytes < kSyncStepBytes) return {};
    n_unsynced_bytes = 0;
    RETURN_IF_ERROR(shard->sync());
    return target.journal().sync();
  }

  Status write_next_piece(std::span<const std::byte> bytes) {
    CHECK(next < output.tensors.size());
    const OutputTensor& tensor = output.tensors[next];
    CHECK(tensor.planned.target == WeightTarget::kKeep &&
          tensor.planned.source->storage == Storage::kPlain);
    RETURN_IF_ERROR(open_shard());
    RETURN_IF_ERROR(append_to_part(0, bytes));
    RETURN_IF_ERROR(source->intact());
    n_piece_bytes += bytes.size();
    CHECK(n_piece_bytes <= tensor.value_bytes());
    if (n_piece_bytes < tensor.value_bytes()) return {};
    n_piece_bytes = 0;
    ledger->end_part();
    return end_tensor();
  }

  Status write_parts(const Result<std::vector<EncodedPart>>& parts) {
    if (!parts) {
      return Error(parts.error().code, parts.error().message,
                   output.tensors[next].planned.source->name);
    }
    CHECK(parts->size() + (output.tensors[next].planned.cache_scale ? 1 : 0) ==
          output.tensors[next].n_parts);
    for (size_t i = 0; i < parts->size(); ++i) RETURN_IF_ERROR(write_part(i, (*parts)[i].bytes()));
    return {};
  }

  Status write_next_source() {
    CHECK(next < output.tensors.size());
    const OutputTensor& tensor = output.tensors[next];
    const TensorInfo& info = *tensor.planned.source;
    CHECK(tensor.planned.target == WeightTarget::kKeep ||
          tensor.planned.target == WeightTarget::kDecode);
    RETURN_IF_ERROR(open_shard());
    if (is_converted(*source, tensor.planned)) {
      RETURN_IF_ERROR(write_converted(
          *source, tensor.planned, tensor.form,
          [this](std::span<const std::byte> bytes) { return append_to_part(0, bytes); }));
      ledger->end_part();
    } else if (tensor.stored.kind == WeightTarget::kNvfp4) {
      ASSIGN_OR_RETURN(const ArrangedMatrix matrix, grouped_matrix(*source, info));
      RETURN_IF_ERROR(write_parts(dialect->encode(std::get<QuantizedMatrixView>(matrix.source))));
    } else if (info.storage == Storage::kFp8) {
      const auto matrix = std::get<Fp8MatrixView>(source->matrix(info));
      RETURN_IF_ERROR(write_parts(dialect->encode_fp8(matrix)));
    } else {
      RETURN_IF_ERROR(write_part(0, source->plain(info).bytes));
    }
    RETURN_IF_ERROR(source->intact());
    source->release(info);
    return end_tensor();
  }

  Status check_matrix(const QuantizedMatrixView& matrix) const {
    const OutputTensor& tensor = output.tensors[next];
    const TensorInfo& info = *tensor.planned.source;
    CHECK(matrix.rows == info.shape[0] && matrix.cols == info.shape[1]);
    CHECK(matrix.codes.size() + matrix.scales.size() == nvfp4_bytes(matrix.rows, matrix.cols));
    CHECK(matrix.input_scale.has_value() == tensor.stored.has_input_scale);
    RETURN_IF_ERROR(check_scale("tensor scale", matrix.tensor_scale, info));
    return check_scale("input scale", matrix.input_scale.value_or(1.0f), info);
  }

  Status check_fp8(const Fp8MatrixView& matrix) const {
    const OutputTensor& tensor = output.tensors[next];
    const TensorInfo& info = *tensor.planned.source;
    const bool per_row = tensor.planned.target == WeightTarget::kFp8Channel;
    CHECK(per_row || tensor.planned.target == WeightTarget::kFp8Tensor);
    CHECK(matrix.rows == info.shape[0] && matrix.cols == info.shape[1]);
    CHECK(matrix.codes.size() == matrix.rows * matrix.cols);
    CHECK(matrix.scales.size() == (per_row ? matrix.rows : 1));
    CHECK(matrix.input_scale.has_value() == tensor.stored.has_input_scale);
    for (const float scale : matrix.scales) RETURN_IF_ERROR(check_scale("scale", scale, info));
    return check_scale("input scale", matrix.input_scale.value_or(1.0f), info);
  }

  static Status check_scale(std::string_view what, float scale, const TensorInfo& info) {
    if (std::isnormal(scale) && scale > 0.0f) return {};
    return Error(ErrorCode::kNotFinite,
                 fmt::format("cannot be written with the {} {}", what, scale), info.name);
  }

  // A matrix of the source's order in the order of a folder.
  Result<ArrangedMatrix> arrange(const MatrixSource& matrix) const {
    ASSIGN_OR_RETURN(const HeadArrangement arrangement, folder_arrangement(*source));
    return arrange_matrix(matrix, *output.tensors[next].planned.source, arrangement);
  }

  Status write_next_nvfp4(const QuantizedMatrixView& matrix) {
    CHECK(next < output.tensors.size() &&
          output.tensors[next].planned.target == WeightTarget::kNvfp4);
    RETURN_IF_ERROR(check_matrix(matrix));
    RETURN_IF_ERROR(open_shard());
    ASSIGN_OR_RETURN(const ArrangedMatrix arranged, arrange(matrix));
    RETURN_IF_ERROR(write_parts(dialect->encode(std::get<QuantizedMatrixView>(arranged.source))));
    return end_tensor();
  }

  Status write_next_fp8(const Fp8MatrixView& matrix) {
    CHECK(next < output.tensors.size());
    RETURN_IF_ERROR(check_fp8(matrix));
    RETURN_IF_ERROR(open_shard());
    ASSIGN_OR_RETURN(const ArrangedMatrix arranged, arrange(matrix));
    RETURN_IF_ERROR(write_parts(dialect->encode_fp8(std::get<Fp8MatrixView>(arranged.source))));
    return end_tensor();
  }

  // What a folder keeps in files and a GGUF file in its metadata.
  Status add_side_files(std::vector<std::pair<std::string, std::string>>& files) const {
    if (source->dialect() != kGgufDialect) return {};
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
                             "generation_config.json"}) {
      Result<std::string> text = source->side_file(name);
      if (text) {
        files.emplace_back(name, *std::move(text));
      } else if (text.error().code != ErrorCode::kNotFound) {
        return text.error();
      }
    }
    return {};
  }

  Status write_description() {
    std::vector<std::pair<std::string, std::string>> files;
    const Json config = output_config(*source, *dialect, output, files);
    files.emplace_back("config.json", dump_json(config));
    if (output.shards.size() > 1) {
      files.emplace_back(std::string(kIndexFileName), index_text(output));
    }
    if (!command.is_null()) {
      files.emplace_back(std::string(kManifestFileName), ledger->manifest_text(command));
    }
    RETURN_IF_ERROR(add_side_files(files));
    for (const auto& [name, content] : files) {
      RETURN_IF_ERROR(write_file_atomically(path(name), content));
    }
    return {};
  }

  Status finish() {
    CHECK(next == output.tensors.size());
    if (target.already_committed()) return {};
    RETURN_IF_ERROR(close_shard());
    RETURN_IF_ERROR(source->intact());
    RETURN_IF_ERROR(write_description());
    RETURN_IF_ERROR(copy_carried_files(carried, source->folder(), target.partial()));
    return target.commit();
  }
};

class FolderWriter final : public CheckpointWriter {
 public:
  explicit FolderWriter(std::unique_ptr<FolderOutput> impl) : impl_(std::move(impl)) {}

  std::span<const PlannedTensor> plan() const override { return impl_->plan; }
  uint64_t total_bytes() const override { return impl_->output.data_bytes; }
  uint64_t n_written_bytes() const override { return impl_->n_written_bytes; }
  Status write_source() override { return impl_->note(impl_->write_next_source()); }
  Status write_nvfp4(const QuantizedMatrixView& matrix) override {
    return impl_->note(impl_->write_next_nvfp4(matrix));
  }
  Status write_fp8(const Fp8MatrixView& matrix) override {
    return impl_->note(impl_->write_next_fp8(matrix));
  }
  std::span<const FinishedTensor> taken_over() const override {
    return impl_->ledger->finished().first(impl_->n_taken_over);
  }
  void annotate(const TensorNote& note) override { impl_->ledger->annotate(note); }
  bool takes_pieces() const override { return impl_->source->dialect() != kGgufDialect; }
  Status write_piece(std::span<const std::byte> bytes) override {
    return impl_->note(impl_->write_next_piece(bytes));
  }
  Status finish() override { return impl_->note(impl_->finish()); }
  void keep_partial() override { impl_->target.keep(); }
  const std::string& partial_folder() const override { return impl_->target.partial(); }

 private:
  std::unique_ptr<FolderOutput> impl_;
};

}  // namespace

std::string dialect_refusal(std::string_view dialect, WeightTarget target, bool has_input_scale) {
  const bool is_fp8 = target == WeightTarget::kFp8Tensor || target == WeightTarget::kFp8Channel;
  if (dialect == kGgufDialect && is_fp8) return "GGUF files hold no FP8 matrices";
  const Dialect* writable = find_writable(dialect);
  const StoredAs stored{target, has_input_scale};
  if (writable != nullptr && writable->refusal == nullptr && stored.is_quantized()) {
    return "it is for unquantized weights";
  }
  return writable != nullptr && stored.is_quantized() ? writable->refusal(stored) : std::string();
}

bool dialect_holds_cache_scales(std::string_view dialect) {
  const Dialect* writable = find_writable(dialect);
  return writable != nullptr && writable->declare_cache_scale != nullptr;
}

std::vector<std::string_view> writable_dialects() {
  std::vector<std::string_view> names;
  for (const Dialect* dialect : dialects()) {
    if (dialect->declare != nullptr) names.push_back(dialect->name);
  }
  names.push_back(kGgufDialect);
  return names;
}

Status CheckpointWriter::write_fp8(const Fp8MatrixView& /*matrix*/) {
  return Error(ErrorCode::kUnsupported, "this container holds no FP8 matrices");
}

Status CheckpointWriter::write_piece(std::span<const std::byte> /*bytes*/) {
  return Error(ErrorCode::kUnsupported, "this container takes whole tensors only");
}

Result<std::unique_ptr<CheckpointWriter>> CheckpointWriter::create(
    std::shared_ptr<const Checkpoint> source, std::vector<PlannedTensor> plan,
    const std::string& destination, const WriterOptions& options) {
  CHECK(source != nullptr);
  if (options.dialect == kGgufDialect) {
    return create_gguf_writer(std::move(source), plan, destination, options);
  }
  const Dialect* dialect = find_writable(options.dialect);
  if (dialect == nullptr) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("cannot write the dialect \"{}\"; there are {}", options.dialect,
                             fmt::join(writable_dialects(), ", ")));
  }
  ASSIGN_OR_RETURN(OutputPlan output,
                   plan_output(*source, plan, *dialect, options.max_shard_bytes));
  plan.erase(std::remove_if(plan.begin(), plan.end(),
                            [](const PlannedTensor& planned) {
                              return planned.target == WeightTarget::kLeaveOut;
                            }),
             plan.end());
  CarriedFiles carried;
  if (source->dialect() != kGgufDialect) {
    ASSIGN_OR_RETURN(carried, list_carried_files(source->folder()));
  }
  const uint64_t needed = output.data_bytes + output.header_bytes + carried.n_bytes + kSpareBytes +
                          plan.size() * kManifestRowBytes;
  const Json run =
      options.command.is_null() ? Json(nullptr) : run_identity(*source, output, options);
  ASSIGN_OR_RETURN(TargetFolder target, TargetFolder::create({source->folder(), destination,
                                                              options.force, needed, run}));
  auto impl = std::unique_ptr<FolderOutput>(
      new FolderOutput{std::move(source), dialect, std::move(output), std::move(plan),
                       std::move(carried), std::move(target), options.command});
  if (impl->output.tensors.empty()) {
    return Error(ErrorCode::kInvalidArgument, "holds no tensors", impl->source->folder());
  }
  if (Status status = impl->take_over(); !status) {
    impl->target.keep();
    return status.error();
  }
  return std::unique_ptr<CheckpointWriter>(std::make_unique<FolderWriter>(std::move(impl)));
}

}  // namespace nibble

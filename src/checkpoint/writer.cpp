#include "checkpoint/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "checkpoint/dialects/dialect.h"
#include "checkpoint/output/carried_files.h"
#include "checkpoint/output/output_plan.h"
#include "checkpoint/output/target_folder.h"
#include "core/file.h"

namespace nibble {
namespace {

// For config.json, the index and folder entries.
constexpr uint64_t kSpareBytes = uint64_t{4} << 20;

const Dialect* find_writable(std::string_view name) {
  for (const Dialect* dialect : dialects()) {
    if (dialect->declare != nullptr && dialect->name == name) return dialect;
  }
  return nullptr;
}

// Pages are written in pieces of this size.
constexpr size_t kPieceBytes = size_t{16} << 20;

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
Json output_config(const Json& source, const Dialect& dialect, const OutputPlan& plan,
                   std::vector<std::pair<std::string, std::string>>& files) {
  Json config = source;
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
  std::optional<SafetensorsWriter> shard;
  size_t next = 0;  // tensor to be written
  uint64_t n_written_bytes = 0;

  std::string path(const std::string& name) const { return target.partial() + "/" + name; }

  // A full disk leaves the work in place and says where.
  Status note(Status status) {
    if (status || status.error().code != ErrorCode::kNoSpace) return status;
    target.keep();
    return Error(ErrorCode::kNoSpace,
                 fmt::format("{}; the disk is full. What was written so far is in {}: free some "
                             "space and run again, or remove that folder",
                             status.error().message, target.partial()),
                 status.error().subject);
  }

  // Makes `shard` the file that holds the next tensor.
  Status open_shard() {
    const OutputTensor& tensor = output.tensors[next];
    const bool same = next > 0 && output.tensors[next - 1].shard == tensor.shard;
    if (same) return {};
    RETURN_IF_ERROR(close_shard());
    const OutputShard& opened = output.shards[tensor.shard];
    ASSIGN_OR_RETURN(SafetensorsWriter writer,
                     SafetensorsWriter::create(path(opened.name), opened.declarations));
    shard.emplace(std::move(writer));
    return {};
  }

  Status close_shard() {
    if (!shard) return {};
    Status status = shard->finish();
    shard.reset();
    return status;
  }

  Status write_part(size_t part, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto piece = bytes.first(std::min(bytes.size(), kPieceBytes));
      touch_pages(piece);
      RETURN_IF_ERROR(shard->write(output.tensors[next].first_part + part, piece));
      n_written_bytes += piece.size();
      bytes = bytes.subspan(piece.size());
    }
    return {};
  }

  Status write_matrix(const QuantizedMatrixView& matrix) {
    auto parts = dialect->encode(matrix);
    if (!parts) {
      return Error(parts.error().code, parts.error().message,
                   output.tensors[next].planned.source->name);
    }
    CHECK(parts->size() == output.tensors[next].n_parts);
    for (size_t i = 0; i < parts->size(); ++i) RETURN_IF_ERROR(write_part(i, (*parts)[i].bytes()));
    return {};
  }

  Status write_next_source() {
    CHECK(next < output.tensors.size());
    const OutputTensor& tensor = output.tensors[next];
    const TensorInfo& info = *tensor.planned.source;
    CHECK(tensor.planned.target == WeightTarget::kKeep);
    RETURN_IF_ERROR(open_shard());
    if (info.storage == Storage::kNvfp4) {
      RETURN_IF_ERROR(write_matrix(source->nvfp4(info)));
    } else {
      RETURN_IF_ERROR(write_part(0, source->plain(info).bytes));
    }
    RETURN_IF_ERROR(source->intact());
    source->release(info);
    ++next;
    return {};
  }

  Status check_matrix(const QuantizedMatrixView& matrix) const {
    const OutputTensor& tensor = output.tensors[next];
    const TensorInfo& info = *tensor.planned.source;
    CHECK(matrix.rows == info.shape[0] && matrix.cols == info.shape[1]);
    CHECK(matrix.codes.size() + matrix.scales.size() == nvfp4_bytes(matrix.rows, matrix.cols));
    CHECK(matrix.input_scale.has_value() == tensor.has_input_scale);
    if (std::isnormal(matrix.tensor_scale) && matrix.tensor_scale > 0.0f) return {};
    return Error(ErrorCode::kNotFinite,
                 fmt::format("cannot be written with the tensor scale {}", matrix.tensor_scale),
                 info.name);
  }

  Status write_next_nvfp4(const QuantizedMatrixView& matrix) {
    CHECK(next < output.tensors.size() && output.tensors[next].planned.target == WeightTarget::kNvfp4);
    RETURN_IF_ERROR(check_matrix(matrix));
    RETURN_IF_ERROR(open_shard());
    RETURN_IF_ERROR(write_matrix(matrix));
    ++next;
    return {};
  }

  Status write_description() {
    std::vector<std::pair<std::string, std::string>> files;
    const Json config = output_config(source->config(), *dialect, output, files);
    files.emplace_back("config.json", dump_json(config));
    if (output.shards.size() > 1) {
      files.emplace_back(std::string(kIndexFileName), index_text(output));
    }
    for (const auto& [name, content] : files) {
      RETURN_IF_ERROR(write_file_atomically(path(name), content));
    }
    return {};
  }

  Status finish() {
    CHECK(next == output.tensors.size());
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
  Status finish() override { return impl_->note(impl_->finish()); }
  void keep_partial() override { impl_->target.keep(); }
  const std::string& partial_folder() const override { return impl_->target.partial(); }

 private:
  std::unique_ptr<FolderOutput> impl_;
};

}  // namespace

std::vector<std::string_view> writable_dialects() {
  std::vector<std::string_view> names;
  for (const Dialect* dialect : dialects()) {
    if (dialect->declare != nullptr) names.push_back(dialect->name);
  }
  return names;
}

Result<std::unique_ptr<CheckpointWriter>> CheckpointWriter::create(
    std::shared_ptr<const Checkpoint> source, std::vector<PlannedTensor> plan,
    const std::string& destination, const WriterOptions& options) {
  CHECK(source != nullptr);
  const Dialect* dialect = find_writable(options.dialect);
  if (dialect == nullptr) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("cannot write the dialect \"{}\"; there are {}", options.dialect,
                             fmt::join(writable_dialects(), ", ")));
  }
  ASSIGN_OR_RETURN(OutputPlan output,
                   plan_output(*source, plan, *dialect, options.max_shard_bytes));
  ASSIGN_OR_RETURN(CarriedFiles carried, list_carried_files(source->folder()));
  const uint64_t needed = output.data_bytes + output.header_bytes + carried.n_bytes + kSpareBytes;
  ASSIGN_OR_RETURN(TargetFolder target,
                   TargetFolder::create(source->folder(), destination, options.force, needed));
  auto impl = std::unique_ptr<FolderOutput>(
      new FolderOutput{std::move(source), dialect, std::move(output), std::move(plan),
                       std::move(carried), std::move(target), std::nullopt});
  if (impl->output.tensors.empty()) {
    return Error(ErrorCode::kInvalidArgument, "holds no tensors", impl->source->folder());
  }
  return std::unique_ptr<CheckpointWriter>(std::make_unique<FolderWriter>(std::move(impl)));
}

}  // namespace nibble

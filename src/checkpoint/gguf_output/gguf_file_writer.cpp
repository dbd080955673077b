#include "checkpoint/gguf_output/gguf_file_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <utility>

#include "checkpoint/gguf_output/gguf_plan.h"
#include "checkpoint/gguf_output/target_file.h"
#include "checkpoint/gguf_output/tokenizer_fields.h"
#include "checkpoint/output/arranged_matrix.h"
#include "checkpoint/output/element_encoder.h"
#include "core/check.h"
#include "formats/gguf.h"
#include "numbers/ggml_blocks.h"
#include "numbers/nvfp4.h"

namespace nibble {
namespace {

constexpr size_t kPieceBytes = size_t{4} << 20;
// For names, offsets and small fields.
constexpr uint64_t kSpareBytes = uint64_t{4} << 20;

ValueChange change_of(GgufValues values) {
  if (values == GgufValues::kPlusOne) return ValueChange::kPlusOne;
  return values == GgufValues::kMinusExp ? ValueChange::kMinusExp : ValueChange::kNone;
}

// Repacks codes and scales into blocks of 64 values, row by row.
Status write_blocks(const QuantizedMatrixView& matrix, const ByteSink& sink) {
  const uint64_t row_blocks = matrix.cols / kGgufNvfp4Values;
  const uint64_t rows_a_piece =
      std::max<uint64_t>(1, kPieceBytes / std::max<uint64_t>(1, row_blocks * kGgufNvfp4Bytes));
  std::vector<uint8_t> blocks;
  for (uint64_t row = 0; row < matrix.rows; row += rows_a_piece) {
    const uint64_t n_blocks = std::min(rows_a_piece, matrix.rows - row) * row_blocks;
    blocks.resize(n_blocks * kGgufNvfp4Bytes);
    for (uint64_t i = 0; i < n_blocks; ++i) {
      const uint64_t block = row * row_blocks + i;
      pack_gguf_nvfp4(matrix.scales.data() + block * 4, matrix.codes.data() + block * 32,
                      blocks.data() + i * kGgufNvfp4Bytes);
    }
    RETURN_IF_ERROR(sink(std::as_bytes(std::span(blocks))));
  }
  return {};
}

class GgufFileWriter final : public CheckpointWriter {
 public:
  GgufFileWriter(std::shared_ptr<const Checkpoint> source, GgufPlan plan, TargetFile target,
                 GgufWriter file)
      : source_(std::move(source)),
        plan_(std::move(plan)),
        target_(std::move(target)),
        file_(std::move(file)) {
    arrangement_ = {plan_.shape.heads, plan_.shape.source_order, ValueHeadOrder::kTiled};
  }

  std::span<const PlannedTensor> plan() const override { return plan_.entries; }
  uint64_t total_bytes() const override { return plan_.data_bytes; }
  uint64_t n_written_bytes() const override { return n_written_bytes_; }
  Status write_source() override { return note(write_next_source()); }
  Status write_nvfp4(const QuantizedMatrixView& matrix) override {
    return note(write_next_nvfp4(matrix));
  }
  Status finish() override { return note(finish_file()); }
  void keep_partial() override { target_.keep(); }
  const std::string& partial_folder() const override { return target_.partial(); }

 private:
  // A full disk leaves the work in place and says where.
  Status note(Status status) {
    if (status || status.error().code != ErrorCode::kNoSpace) return status;
    target_.keep();
    return Error(ErrorCode::kNoSpace,
                 fmt::format("{}; the disk is full. What was written so far is in {}: free some "
                             "space and run again, or remove that file",
                             status.error().message, target_.partial()),
                 status.error().subject);
  }

  Status put(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto piece = bytes.first(std::min(bytes.size(), kPieceBytes));
      RETURN_IF_ERROR(file_.write(piece));
      n_written_bytes_ += piece.size();
      bytes = bytes.subspan(piece.size());
    }
    return {};
  }

  const TensorInfo& next_tensor() const { return *plan_.entries[next_].source; }

  // Calls `write_step` for every run of rows that the entry at hand gives to the file.
  template <typename WriteStep>
  Status for_each_step(WriteStep write_step) {
    CHECK(next_ < plan_.entries.size());
    while (target_index_ < plan_.targets.size()) {
      const GgufTarget& target = plan_.targets[target_index_];
      if (target.steps[step_index_].entry != next_) break;
      RETURN_IF_ERROR(write_step(target, target.steps[step_index_]));
      if (++step_index_ == target.steps.size()) RETURN_IF_ERROR(end_target());
    }
    ++next_;
    return {};
  }

  // Writes the scales that follow finished weights.
  Status end_target() {
    step_index_ = 0;
    for (++target_index_; target_index_ < plan_.targets.size(); ++target_index_) {
      const GgufTarget::Content content = plan_.targets[target_index_].content;
      if (content == GgufTarget::Content::kWeights) break;
      const bool of_tensor = content == GgufTarget::Content::kTensorScales;
      RETURN_IF_ERROR(
          put(std::as_bytes(std::span<const float>(of_tensor ? scales_ : input_scales_))));
    }
    scales_.clear();
    input_scales_.clear();
    return {};
  }

  Status write_next_source() {
    CHECK(next_ < plan_.entries.size());
    const TensorInfo& tensor = next_tensor();
    const WeightTarget planned = plan_.entries[next_].target;
    CHECK(planned == WeightTarget::kKeep || planned == WeightTarget::kDecode);
    ASSIGN_OR_RETURN(const ArrangedMatrix arranged, arrange_matrix(*source_, tensor, arrangement_));
    RETURN_IF_ERROR(for_each_step([&](const GgufTarget& target, const GgufStep& step) {
      return write_rows(target, step, slice_rows(arranged.source, step.first_row, step.n_rows));
    }));
    RETURN_IF_ERROR(source_->intact());
    source_->release(tensor);
    return {};
  }

  Status write_rows(const GgufTarget& target, const GgufStep& step, const MatrixSource& rows) {
    const ByteSink sink = [this](std::span<const std::byte> bytes) { return put(bytes); };
    const auto* blocks = std::get_if<BlockMatrixView>(&rows);
    if (target.tensor.type == GgufType::kNvfp4) {
      if (blocks == nullptr) return write_matrix(std::get<QuantizedMatrixView>(rows));
      return write_matrix(canonical_nvfp4(*blocks).view());
    }
    const bool is_kept = blocks != nullptr && blocks->kind != BlockKind::kNvfp4 &&
                         plan_.entries[step.entry].target == WeightTarget::kKeep;
    const GgufTypeInfo* type = gguf_type_info(static_cast<uint32_t>(target.tensor.type));
    if (is_kept && type->n_values > 1 && target.tensor.type != GgufType::kQ8_0) {
      return put(blocks->bytes);
    }
    if (is_kept && blocks->kind == BlockKind::kQ8_0 && target.tensor.type == GgufType::kQ8_0) {
      return put(blocks->bytes);
    }
    return encode_elements(rows, 0, matrix_rows(rows), target.tensor.type, change_of(target.values),
                           sink);
  }

  // Codes, and the scales to be written behind them.
  Status write_matrix(const QuantizedMatrixView& matrix) {
    const auto bad = std::find_if(matrix.scales.begin(), matrix.scales.end(),
                                  [](uint8_t scale) { return scale > kE4m3MaxCode; });
    if (bad != matrix.scales.end()) {
      return Error(ErrorCode::kCorrupt,
                   fmt::format("has the block scale 0x{:02x} at block {}, which is {}; quantize "
                               "this tensor again from the original weights",
                               *bad, bad - matrix.scales.begin(),
                               (*bad & 0x7f) == 0x7f ? "not a number" : "negative"),
                   next_tensor().name);
    }
    if (!std::isnormal(matrix.tensor_scale) || matrix.tensor_scale <= 0.0f) {
      return Error(ErrorCode::kNotFinite,
                   fmt::format("cannot be written with the tensor scale {}", matrix.tensor_scale),
                   next_tensor().name);
    }
    scales_.push_back(matrix.tensor_scale);
    if (matrix.input_scale) input_scales_.push_back(*matrix.input_scale);
    return write_blocks(matrix, [this](std::span<const std::byte> bytes) { return put(bytes); });
  }

  Status write_next_nvfp4(const QuantizedMatrixView& matrix) {
    CHECK(next_ < plan_.entries.size());
    const PlannedTensor& planned = plan_.entries[next_];
    CHECK(planned.target == WeightTarget::kNvfp4);
    CHECK(matrix.rows == planned.source->shape[0] && matrix.cols == planned.source->shape[1]);
    CHECK(matrix.input_scale.has_value() == planned.has_input_scale);
    ASSIGN_OR_RETURN(const ArrangedMatrix arranged,
                     arrange_matrix(MatrixSource(matrix), *planned.source, arrangement_));
    return for_each_step([&](const GgufTarget&, const GgufStep&) {
      return write_matrix(std::get<QuantizedMatrixView>(arranged.source));
    });
  }

  Status finish_file() {
    CHECK(target_index_ == plan_.targets.size());
    RETURN_IF_ERROR(source_->intact());
    RETURN_IF_ERROR(file_.finish());
    return target_.commit();
  }

  std::shared_ptr<const Checkpoint> source_;
  GgufPlan plan_;
  TargetFile target_;
  GgufWriter file_;
  HeadArrangement arrangement_;
  size_t next_ = 0;          // entry to be written
  size_t target_index_ = 0;  // tensor of the file at hand, and how far it is
  size_t step_index_ = 0;
  std::vector<float> scales_;
  std::vector<float> input_scales_;
  uint64_t n_written_bytes_ = 0;
};

// The text of a small file of the source; empty where there is none.
Result<std::string> optional_side_file(const Checkpoint& source, std::string_view name) {
  auto text = source.side_file(name);
  if (!text && text.error().code == ErrorCode::kNotFound) return std::string();
  return text;
}

Result<std::vector<GgufField>> all_fields(const Checkpoint& source, const GgufPlan& plan) {
  Json generation = nullptr;
  ASSIGN_OR_RETURN(const std::string text, optional_side_file(source, "generation_config.json"));
  if (!text.empty()) {
    ASSIGN_OR_RETURN(generation, parse_json(text, source.folder() + "/generation_config.json"));
  }
  ASSIGN_OR_RETURN(std::vector<GgufField> fields,
                   gguf_model_fields(source.config(), generation, plan.contents, source.folder()));
  TokenizerTexts texts;
  ASSIGN_OR_RETURN(texts.tokenizer, optional_side_file(source, "tokenizer.json"));
  ASSIGN_OR_RETURN(texts.settings, optional_side_file(source, "tokenizer_config.json"));
  ASSIGN_OR_RETURN(texts.chat_template, optional_side_file(source, "chat_template.jinja"));
  ASSIGN_OR_RETURN(
      const std::vector<GgufField> tokenizer,
      gguf_tokenizer_fields(texts, plan.contents.vocab_size, source.config(), source.folder()));
  fields.insert(fields.end(), tokenizer.begin(), tokenizer.end());
  // Without a vocabulary llama.cpp knows no other way to the number of its tokens.
  if (texts.tokenizer.empty()) {
    const auto named = std::find_if(fields.begin(), fields.end(), [](const GgufField& field) {
      return field.key == "general.architecture";
    });
    CHECK(named != fields.end());
    fields.push_back({std::get<std::string>(named->value) + ".vocab_size",
                      static_cast<uint32_t>(plan.contents.vocab_size)});
  }
  return fields;
}

uint64_t field_bytes(const std::vector<GgufField>& fields) {
  uint64_t n = kSpareBytes;
  for (const GgufField& field : fields) {
    const auto* array = std::get_if<GgufArray>(&field.value);
    const auto* texts = array == nullptr ? nullptr : std::get_if<std::vector<std::string>>(array);
    if (texts == nullptr) continue;
    for (const std::string& text : *texts) n += text.size() + 2 * sizeof(uint64_t);
  }
  return n;
}

// The model's name for people: that of its folder or file.
std::string model_name(const Checkpoint& source) {
  std::error_code ignored;
  std::filesystem::path path = std::filesystem::absolute(source.folder(), ignored);
  path = path.lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.extension() == ".gguf" ? path.stem().string() : path.filename().string();
}

}  // namespace

Result<std::unique_ptr<CheckpointWriter>> create_gguf_writer(
    std::shared_ptr<const Checkpoint> source, const std::vector<PlannedTensor>& plan,
    const std::string& destination, const WriterOptions& options) {
  ASSIGN_OR_RETURN(GgufPlan gguf, plan_gguf(*source, plan, options.plain_type));
  gguf.contents.name = model_name(*source);
  ASSIGN_OR_RETURN(const std::vector<GgufField> fields, all_fields(*source, gguf));
  ASSIGN_OR_RETURN(TargetFile target,
                   TargetFile::create(source->folder(), destination, options.force,
                                      gguf.data_bytes + field_bytes(fields)));
  std::vector<GgufTensor> tensors;
  tensors.reserve(gguf.targets.size());
  for (const GgufTarget& planned : gguf.targets) tensors.push_back(planned.tensor);
  ASSIGN_OR_RETURN(GgufWriter file,
                   GgufWriter::create(target.partial(), fields, std::move(tensors)));
  return std::unique_ptr<CheckpointWriter>(std::make_unique<GgufFileWriter>(
      std::move(source), std::move(gguf), std::move(target), std::move(file)));
}

}  // namespace nibble

#include "checkpoint/output/output_ledger.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "core/cancel.h"
#include "core/file.h"

namespace nibble {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;

// Reads back one shard that an earlier process wrote.
class ShardReader {
 public:
  ShardReader(const std::string& path, const OutputShard& shard)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), piece_(kPieceBytes) {
    auto layout = lay_out_safetensors(shard.declarations, path);
    if (!layout) return;
    layout_ = std::move(*layout);
    const auto head = std::as_bytes(std::span(layout_.head));
    usable_ = descriptor_ >= 0 && hash(0, head.size()) == content_hash(head);
  }
  ~ShardReader() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  ShardReader(const ShardReader&) = delete;
  ShardReader& operator=(const ShardReader&) = delete;

  /// The bytes of the part are those that gave the hash.
  bool holds(size_t part, const std::string& expected) {
    return usable_ && hash(layout_.offsets[part], layout_.sizes[part]) == expected;
  }

 private:
  // Nothing where the file is too short or cannot be read.
  std::optional<std::string> hash(uint64_t begin, uint64_t n_bytes) {
    ContentHasher hasher;
    while (n_bytes > 0) {
      const size_t wanted = static_cast<size_t>(std::min<uint64_t>(n_bytes, piece_.size()));
      const ssize_t n = ::pread(descriptor_, piece_.data(), wanted, static_cast<off_t>(begin));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return std::nullopt;
      hasher.update(std::span(piece_).first(static_cast<size_t>(n)));
      begin += static_cast<uint64_t>(n);
      n_bytes -= static_cast<uint64_t>(n);
    }
    return hasher.hex();
  }

  int descriptor_;
  bool usable_ = false;
  SafetensorsLayout layout_;
  std::vector<std::byte> piece_;
};

Json record_of(size_t index, const FinishedTensor& tensor) {
  return Json{{"tensor", index},
              {"hashes", tensor.hashes},
              {"source_hash", tensor.note.source_hash},
              {"report", tensor.note.report}};
}

// Nothing where the record is not that of the tensor `index`.
std::optional<FinishedTensor> finished_of(const Json& record, size_t index, size_t n_parts) {
  if (record.value("tensor", Json()) != index) return std::nullopt;
  const Json hashes = record.value("hashes", Json());
  const Json source_hash = record.value("source_hash", Json());
  if (!hashes.is_array() || hashes.size() != n_parts || !source_hash.is_string()) {
    return std::nullopt;
  }
  FinishedTensor tensor;
  tensor.hashes.reserve(n_parts);
  for (const Json& hash : hashes) {
    if (!hash.is_string()) return std::nullopt;
    tensor.hashes.push_back(hash.get<std::string>());
  }
  tensor.note = {source_hash.get<std::string>(), record.value("report", Json())};
  return tensor;
}

}  // namespace

Status OutputLedger::take_over(TargetFolder& target) {
  Journal& journal = target.journal();
  std::optional<ShardReader> reader;
  for (size_t i = 0; i < plan_->tensors.size() && i + 1 < journal.records().size(); ++i) {
    RETURN_IF_ERROR(check_cancelled());
    const OutputTensor& tensor = plan_->tensors[i];
    auto finished = finished_of(journal.records()[i + 1], i, tensor.n_parts);
    if (!finished) break;
    if (i == 0 || plan_->tensors[i - 1].shard != tensor.shard) {
      const OutputShard& shard = plan_->shards[tensor.shard];
      reader.emplace(target.partial() + "/" + shard.name, shard);
    }
    bool whole = true;
    for (size_t part = 0; part < tensor.n_parts; ++part) {
      whole = whole && reader->holds(tensor.first_part + part, finished->hashes[part]);
    }
    if (!whole) break;
    finished->source = tensor.planned.source;
    finished_.push_back(std::move(*finished));
  }
  // Behind the last tensor there may be a commit that was cut.
  if (finished_.size() == plan_->tensors.size()) return {};
  return journal.cut(1 + finished_.size());
}

void OutputLedger::end_part() {
  part_hashes_.push_back(hasher_.hex());
  hasher_ = ContentHasher();
}

Status OutputLedger::end_tensor(Journal* journal) {
  const size_t index = finished_.size();
  CHECK(part_hashes_.size() == plan_->tensors[index].n_parts);
  finished_.push_back({plan_->tensors[index].planned.source, std::exchange(part_hashes_, {}),
                       std::exchange(note_, {})});
  return journal == nullptr ? Status() : journal->append(record_of(index, finished_.back()));
}

// One line a tensor: with tens of thousands of experts a pretty-printed tree would be unreadable.
std::string OutputLedger::manifest_text(const Json& command) const {
  CHECK(finished_.size() == plan_->tensors.size());
  Json head = {{"manifest_version", 1}, {"hash", std::string(kContentHashName)}};
  head["command"] = command;
  std::string text = dump_json(head);
  text.resize(text.rfind('}'));
  text.resize(text.find_last_not_of("\n ") + 1);
  text += ",\n  \"tensors\": [";
  const char* separator = "\n";
  for (size_t i = 0; i < finished_.size(); ++i) {
    const OutputTensor& tensor = plan_->tensors[i];
    const OutputShard& shard = plan_->shards[tensor.shard];
    Json row = {{"source", tensor.planned.source->stored_name}};
    if (!finished_[i].note.source_hash.empty()) row["source_hash"] = finished_[i].note.source_hash;
    row["file"] = shard.name;
    Json& parts = row["stored"] = Json::object();
    for (size_t part = 0; part < tensor.n_parts; ++part) {
      parts[shard.declarations[tensor.first_part + part].name] = finished_[i].hashes[part];
    }
    text += fmt::format("{}    {}", separator, dump_json_line(row));
    separator = ",\n";
  }
  return text + "\n  ]\n}\n";
}

}  // namespace nibble

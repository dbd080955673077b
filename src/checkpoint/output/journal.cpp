#include "checkpoint/output/journal.h"

#include <string_view>
#include <utility>

#include "core/content_hash.h"

namespace nibble {
namespace {

constexpr size_t kHashDigits = 32;

std::string line_of(const Json& record) {
  const std::string text = dump_json_line(record);
  return content_hash(std::as_bytes(std::span(text))) + " " + text + "\n";
}

// The record in a line without its end, or null where the line is not what was written.
Json record_of(std::string_view line) {
  if (line.size() <= kHashDigits + 1 || line[kHashDigits] != ' ') return nullptr;
  const std::string_view text = line.substr(kHashDigits + 1);
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  if (content_hash(bytes) != line.substr(0, kHashDigits)) return nullptr;
  auto parsed = parse_json(text, "journal");
  return parsed ? std::move(*parsed) : Json(nullptr);
}

}  // namespace

Result<Journal> Journal::open(const std::string& path) {
  ASSIGN_OR_RETURN(OutputFile file, OutputFile::open_existing(path));
  ASSIGN_OR_RETURN(const std::string content, read_file(path));
  Journal journal(std::move(file));
  std::string_view rest = content;
  uint64_t end = 0;
  while (true) {
    const size_t n = rest.find('\n');
    if (n == std::string_view::npos) break;
    Json record = record_of(rest.substr(0, n));
    if (record.is_null()) break;
    end += n + 1;
    rest.remove_prefix(n + 1);
    journal.records_.push_back(std::move(record));
    journal.ends_.push_back(end);
  }
  RETURN_IF_ERROR(journal.cut(journal.records_.size()));
  return journal;
}

Status Journal::append(const Json& record) {
  const std::string line = line_of(record);
  const uint64_t begin = ends_.empty() ? 0 : ends_.back();
  RETURN_IF_ERROR(file_.write_at(begin, std::as_bytes(std::span(line))));
  records_.push_back(record);
  ends_.push_back(begin + line.size());
  return {};
}

Status Journal::cut(size_t n) {
  CHECK(n <= records_.size());
  RETURN_IF_ERROR(file_.resize(n == 0 ? 0 : ends_[n - 1]));
  records_.resize(n);
  ends_.resize(n);
  return {};
}

}  // namespace nibble

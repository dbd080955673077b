#include "quantize/calibration/sample_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "core/bundled_files.h"
#include "core/file.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxTextBytes = uint64_t{1} << 28;
constexpr std::string_view kBundledPath = "data/calibration.jsonl";

Error bad_line(size_t number, std::string_view what, const std::string& subject) {
  return Error(
      ErrorCode::kCorrupt,
      fmt::format("line {}: {}; every line must be {{\"text\": \"...\"}} or {{\"messages\": "
                  "[...]}}",
                  number, what),
      subject);
}

Result<std::string> line_text(const Json& line, size_t number, const CalibrationOptions& options,
                              const std::string& subject) {
  if (!line.is_object()) return bad_line(number, "is not an object", subject);
  if (const auto text = line.find("text"); text != line.end()) {
    if (!text->is_string()) return bad_line(number, "its \"text\" is not a text", subject);
    return text->get<std::string>();
  }
  const auto messages = line.find("messages");
  if (messages == line.end() || !messages->is_array()) {
    return bad_line(number, "has neither \"text\" nor \"messages\"", subject);
  }
  if (!options.render_chat) {
    return bad_line(number, "holds messages, and there is no chat template to render them",
                    subject);
  }
  auto text = options.render_chat(*messages);
  if (!text) return bad_line(number, text.error().message, subject);
  return text;
}

Status add_lines(std::string_view content, const CalibrationOptions& options,
                 const std::string& subject, std::vector<std::string>& documents) {
  for (size_t number = 1; !content.empty(); ++number) {
    const std::string_view line = content.substr(0, content.find('\n'));
    content.remove_prefix(std::min(content.size(), line.size() + 1));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto json = parse_json(line, subject);
    if (!json) return bad_line(number, json.error().message, subject);
    ASSIGN_OR_RETURN(std::string text, line_text(*json, number, options, subject));
    if (!text.empty()) documents.push_back(std::move(text));
  }
  return {};
}

Status add_file(const std::string& path, const CalibrationOptions& options, uint64_t& n_bytes_left,
                std::vector<std::string>& documents) {
  ASSIGN_OR_RETURN(std::string content, read_file(path, n_bytes_left));
  n_bytes_left -= content.size();
  if (path.ends_with(".jsonl")) return add_lines(content, options, path, documents);
  if (!content.empty()) documents.push_back(std::move(content));
  return {};
}

// The file itself, or the texts of a folder.
Result<std::vector<std::string>> text_files(const std::string& path) {
  std::error_code failed;
  const fs::file_status status = fs::status(path, failed);
  if (!fs::exists(status)) {
    return Error(ErrorCode::kInvalidArgument, "there is no such calibration text", path);
  }
  if (!fs::is_directory(status)) return std::vector<std::string>{path};
  std::vector<std::string> files;
  for (fs::directory_iterator entry(path, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    const std::string extension = entry->path().extension().string();
    const bool is_text = extension == ".txt" || extension == ".md" || extension == ".jsonl";
    std::error_code unreadable;
    if (is_text && entry->is_regular_file(unreadable)) files.push_back(entry->path().string());
  }
  if (failed) return system_error(failed.value(), "cannot list the calibration texts", path);
  if (files.empty()) {
    return Error(ErrorCode::kInvalidArgument,
                 "holds no calibration text; expected *.txt, *.md or *.jsonl files", path);
  }
  std::sort(files.begin(), files.end());
  return files;
}

// `n` pieces of one document, evenly spaced; fewer where it is short.
void cut_pieces(const std::vector<int32_t>& tokens, size_t n, size_t n_tokens,
                std::vector<std::vector<int32_t>>& samples) {
  const size_t n_whole = std::max<size_t>(1, tokens.size() / n_tokens);
  n = std::min(n, n_whole);
  for (size_t i = 0; i < n; ++i) {
    const size_t begin = i * n_whole / n * n_tokens;
    const size_t end = std::min(begin + n_tokens, tokens.size());
    samples.emplace_back(tokens.begin() + static_cast<ptrdiff_t>(begin),
                         tokens.begin() + static_cast<ptrdiff_t>(end));
  }
}

}  // namespace

Result<std::vector<std::string>> read_documents(const CalibrationOptions& options) {
  std::vector<std::string> documents;
  if (options.path.empty()) {
    for (const BundledFile& file : bundled_files()) {
      if (file.path != kBundledPath) continue;
      RETURN_IF_ERROR(add_lines(file.content(), options, std::string(kBundledPath), documents));
    }
  } else {
    ASSIGN_OR_RETURN(const std::vector<std::string> files, text_files(options.path));
    uint64_t n_bytes_left = kMaxTextBytes;
    for (const std::string& file : files) {
      RETURN_IF_ERROR(add_file(file, options, n_bytes_left, documents));
    }
  }
  if (documents.empty()) {
    return Error(ErrorCode::kInvalidArgument, "the calibration text is empty", options.path);
  }
  return documents;
}

Result<std::vector<std::vector<int32_t>>> sample_tokens(const std::vector<std::string>& documents,
                                                        const Tokenizer& tokenizer,
                                                        const CalibrationOptions& options) {
  std::vector<std::vector<int32_t>> samples;
  const size_t n_documents = std::min(documents.size(), options.n_samples);
  for (size_t i = 0; i < n_documents; ++i) {
    const std::string& document = documents[i * documents.size() / n_documents];
    const auto tokens = tokenizer.encode(document);
    if (!tokens) {
      return Error(tokens.error().code, "the calibration text: " + tokens.error().message,
                   options.path);
    }
    if (tokens->empty()) continue;
    const size_t n_pieces =
        (i + 1) * options.n_samples / n_documents - i * options.n_samples / n_documents;
    cut_pieces(*tokens, n_pieces, options.n_tokens, samples);
  }
  if (samples.empty()) {
    return Error(ErrorCode::kInvalidArgument, "the calibration text has no tokens", options.path);
  }
  return samples;
}

}  // namespace nibble

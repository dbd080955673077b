#include "cli/model_source.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "checkpoint/side_files.h"
#include "core/cancel.h"
#include "core/file.h"

namespace nibble {
namespace {

constexpr const char* kWantedFolder =
    "expected a checkpoint folder with config.json, tokenizer.json and *.safetensors, as model "
    "hubs offer them, or a GGUF file";

}  // namespace

Status check_model_folder(const std::string& path, std::string_view needed_file) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return Error(ErrorCode::kNotFound, fmt::format("no such model: {}", kWantedFolder), path);
    }
    return system_error(errno, "cannot look at the model", path);
  }
  ASSIGN_OR_RETURN(const bool is_gguf, is_gguf_model(path));
  if (is_gguf) return {};
  if (!S_ISDIR(info.st_mode)) {
    return Error(ErrorCode::kInvalidArgument, fmt::format("this is a file: {}", kWantedFolder),
                 path);
  }
  std::error_code ignored;
  if (!std::filesystem::exists(fmt::format("{}/{}", path, needed_file), ignored)) {
    return Error(ErrorCode::kNotFound,
                 fmt::format("the folder has no {}: {}", needed_file, kWantedFolder), path);
  }
  return {};
}

EngineOptions engine_options(const GeneralOptions& general) {
  EngineOptions options;
  options.n_threads = general.n_threads;
  options.cpu_implementation = general.cpu;
  return options;
}

Result<std::unique_ptr<Engine>> open_engine(const std::string& path, const GeneralOptions& general,
                                            Console& console, bool requires_tokenizer) {
  RETURN_IF_ERROR(check_model_folder(path));
  EngineOptions options = engine_options(general);
  options.requires_tokenizer = requires_tokenizer;
  auto engine = Engine::open(path, options, console.progress());
  console.finish_progress();
  return engine;
}

Result<Tokenizer> open_tokenizer(const std::string& path) {
  std::error_code ignored;
  const bool is_file = std::filesystem::is_regular_file(path, ignored);
  ASSIGN_OR_RETURN(const bool is_gguf, is_gguf_model(path));
  if (is_file && !is_gguf) {
    ASSIGN_OR_RETURN(const std::string json, read_file(path));
    return Tokenizer::from_json(json, path);
  }
  RETURN_IF_ERROR(check_model_folder(path, "tokenizer.json"));
  ASSIGN_OR_RETURN(const std::string json, read_side_file(path, "tokenizer.json"));
  return Tokenizer::from_json(json, path + "/tokenizer.json");
}

Result<std::string> read_argument_file(const std::string& path) {
  auto content = read_file(path);
  if (content || content.error().code != ErrorCode::kNotFound) return content;
  return Error(ErrorCode::kInvalidArgument, content.error().message, path);
}

Result<std::string> read_stdin() {
  std::string content;
  char buffer[1 << 16];
  while (true) {
    const ssize_t n_read = ::read(STDIN_FILENO, buffer, sizeof(buffer));
    if (n_read == 0) return content;
    if (n_read > 0) {
      content.append(buffer, static_cast<size_t>(n_read));
      continue;
    }
    RETURN_IF_ERROR(check_cancelled());
    if (errno != EINTR) return system_error(errno, "cannot read", "stdin");
  }
}

}  // namespace nibble

#include "tests/trips/run_nibble.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace nibble::test {
namespace {

struct Pipe {
  std::array<int, 2> ends{-1, -1};
  Pipe() {
    if (::pipe(ends.data()) != 0) std::abort();
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_end(size_t index) {
    if (ends[index] >= 0) ::close(ends[index]);
    ends[index] = -1;
  }
};

[[noreturn]] void become_nibble(const std::vector<std::string>& arguments,
                                const RunOptions& options, const Pipe& in, const Pipe& out,
                                const Pipe& err) {
  ::dup2(in.ends[0], STDIN_FILENO);
  const int file = options.stdout_file.empty()
                       ? out.ends[1]
                       : ::open(options.stdout_file.c_str(), O_WRONLY | O_CREAT, 0644);
  ::dup2(file, STDOUT_FILENO);
  ::dup2(err.ends[1], STDERR_FILENO);
  for (int descriptor = 3; descriptor < 64; ++descriptor) ::close(descriptor);
  for (const std::string& variable : options.environment) {
    const size_t equals = variable.find('=');
    ::setenv(variable.substr(0, equals).c_str(), variable.substr(equals + 1).c_str(), 1);
  }
  if (options.max_file_bytes > 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{options.max_file_bytes, options.max_file_bytes};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  std::vector<std::string> words = {NIBBLE_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execv(NIBBLE_PROGRAM, pointers.data());
  ::_exit(127);
}

/// Appends what is there to read; false at the end of the stream.
bool drain(int descriptor, std::string& text) {
  std::array<char, 4096> buffer;
  const ssize_t n_read = ::read(descriptor, buffer.data(), buffer.size());
  if (n_read > 0) text.append(buffer.data(), static_cast<size_t>(n_read));
  return n_read > 0 || (n_read < 0 && errno == EINTR);
}

/// Reads both streams to their ends, sending the signal on the way if asked for.
void watch(pid_t child, const RunOptions& options, Pipe& out, Pipe& err, RunResult& result) {
  bool signal_pending = options.signal_at_first_progress != 0;
  bool out_open = true;
  bool err_open = true;
  while (out_open || err_open) {
    std::array<pollfd, 2> streams{
        {{out_open ? out.ends[0] : -1, POLLIN, 0}, {err_open ? err.ends[0] : -1, POLLIN, 0}}};
    if (::poll(streams.data(), streams.size(), -1) < 0) continue;
    if (streams[0].revents != 0) out_open = drain(out.ends[0], result.out);
    if (streams[1].revents != 0) err_open = drain(err.ends[0], result.err);
    if (signal_pending && result.err.find('\n') != std::string::npos) {
      ::kill(child, options.signal_at_first_progress);
      signal_pending = false;
    }
  }
}

}  // namespace

RunResult run_nibble(const std::vector<std::string>& arguments, const RunOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);  // the program may end without reading its input
  Pipe in;
  Pipe out;
  Pipe err;
  const pid_t child = ::fork();
  if (child == 0) become_nibble(arguments, options, in, out, err);
  in.close_end(0);
  out.close_end(1);
  err.close_end(1);
  // Inputs of these tests are far smaller than a pipe's buffer, so that this cannot block.
  RunResult result;
  if (!options.input.empty()) {
    const ssize_t n_written = ::write(in.ends[1], options.input.data(), options.input.size());
    if (n_written < 0 && errno != EPIPE) std::abort();
  }
  in.close_end(1);
  std::thread killer;
  if (options.kill_after_us >= 0) {
    killer = std::thread([child, delay = options.kill_after_us] {
      std::this_thread::sleep_for(std::chrono::microseconds(delay));
      ::kill(child, SIGKILL);
    });
  }
  watch(child, options, out, err, result);
  if (killer.joinable()) killer.join();  // before the child's number may become somebody else's
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace nibble::test

// The program from the outside: what it prints where, and with which code it ends.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "core/file.h"
#include "core/json.h"
#include "tests/test_data.h"
#include "tests/trips/run_nibble.h"

namespace nibble::test {
namespace {

const char* const kCommandNames[] = {"quantize", "inspect",  "verify", "eval",  "generate",
                                     "chat",     "tokenize", "render", "logits"};

std::string nano() { return source_path("models/nano"); }

/// The one object on stdout; fails the test if stdout holds anything else.
Json parse_only_object(const RunResult& result) {
  auto json = parse_json(result.out, "stdout");
  EXPECT_TRUE(json) << (json ? "" : json.error().to_string()) << "\nstdout: " << result.out
                    << "\nstderr: " << result.err;
  if (!json) return Json::object();
  EXPECT_TRUE(json->is_object());
  return *json;
}

void expect_keys(const Json& json, const std::vector<const char*>& keys) {
  for (const char* key : keys) EXPECT_TRUE(json.contains(key)) << key << " in " << json.dump();
}

void write_text(const std::string& path, const std::string& text) {
  const Status status = write_file_atomically(path, text);
  ASSERT_TRUE(status) << status.error().to_string();
}

/// NVFP4 made of nano once for all tests of this program.
const std::string& quantized_nano() {
  static const TemporaryFolder folder;
  static const std::string path = [] {
    const std::string output = folder.path("nvfp4");
    const RunResult result = run_nibble({"quantize", nano(), output, "--method", "rtn", "-q"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, output + "\n");
    EXPECT_EQ(result.err, "");
    return output;
  }();
  return path;
}

TEST(Cli, HelpOfEveryCommandHasExamples) {
  const RunResult overview = run_nibble({"--help"});
  EXPECT_EQ(overview.exit_code, 0);
  EXPECT_NE(overview.out.find("Exit codes:"), std::string::npos);
  for (const std::string name : kCommandNames) {
    EXPECT_NE(overview.out.find("\n  " + name), std::string::npos) << name;
    const RunResult help = run_nibble({name, "--help"});
    EXPECT_EQ(help.exit_code, 0) << name;
    EXPECT_NE(help.out.find("Examples:\n  "), std::string::npos) << help.out;
    EXPECT_NE(help.out.find("--json"), std::string::npos) << name;
    EXPECT_EQ(run_nibble({"help", name}).out, help.out);
  }
  EXPECT_EQ(run_nibble({"--version"}).out.find("nibble "), 0u);
}

TEST(Cli, BadArgumentsGiveTwo) {
  EXPECT_EQ(run_nibble({}).exit_code, 2);
  EXPECT_EQ(run_nibble({"quantise", "a", "b"}).exit_code, 2);
  EXPECT_NE(run_nibble({"quantise"}).err.find("did you mean quantize?"), std::string::npos);
  EXPECT_EQ(run_nibble({"inspect"}).exit_code, 2);
  EXPECT_EQ(run_nibble({"quantize", nano(), "/tmp/x", "--method", "magic"}).exit_code, 2);
  EXPECT_EQ(run_nibble({"eval", nano()}).exit_code, 2);
  EXPECT_EQ(run_nibble({"eval", nano(), "--text", "/no/such/text"}).exit_code, 2);
  EXPECT_EQ(run_nibble({"generate", nano(), "--prompt", "a", "--cpu", "abacus"}).exit_code, 2);
  EXPECT_EQ(run_nibble({"generate", nano(), "--prompt", "a", "--top-p", "7"}).exit_code, 2);
  EXPECT_EQ(run_nibble({"logits", nano(), "--ids", "1,x", "-o", "/tmp/x"}).exit_code, 2);
  EXPECT_EQ(run_nibble({"logits", nano(), "--ids", "9999999", "-o", "/tmp/x"}).exit_code, 2);
}

TEST(Cli, ErrorsAreOneObjectWithJson) {
  const RunResult result = run_nibble({"inspect", "/no/such/model", "--json"});
  EXPECT_EQ(result.exit_code, 3);
  const Json json = parse_only_object(result);
  ASSERT_TRUE(json.contains("error")) << result.out;
  EXPECT_EQ(json["error"]["code"], "NotFound");
  EXPECT_EQ(json["error"]["subject"], "/no/such/model");
  EXPECT_EQ(json["error"]["exit_code"], 3);
  EXPECT_NE(result.err.find("/no/such/model"), std::string::npos);
  EXPECT_TRUE(parse_only_object(run_nibble({"eval", "--json", "--xyzzy"})).contains("error"));
}

TEST(Cli, ModelsThatAreNone) {
  const TemporaryFolder folder;
  for (const std::string name : kCommandNames) {
    std::vector<std::string> words = {name, folder.path("missing")};
    if (name == "quantize") words.push_back(folder.path("out"));
    if (name == "eval") words.push_back("--speed");
    if (name == "generate") words.insert(words.end(), {"--prompt", "a"});
    if (name == "render") words.insert(words.end(), {"--messages", "-"});
    if (name == "logits") words.insert(words.end(), {"--ids", "1", "-o", folder.path("l")});
    const RunResult result = run_nibble(words);
    EXPECT_EQ(result.exit_code, 3) << name << ": " << result.err;
    EXPECT_EQ(result.out, "") << name;
  }
  EXPECT_EQ(run_nibble({"inspect", folder.path()}).exit_code, 3);
  write_text(folder.path("model.gguf"), "GGUF");
  const RunResult gguf = run_nibble({"inspect", folder.path("model.gguf")});
  EXPECT_EQ(gguf.exit_code, 1);
  EXPECT_NE(gguf.err.find("ends at byte 4"), std::string::npos) << gguf.err;
}

TEST(Cli, OpensGgufFiles) {
  const std::string file = source_path("tests/dialect_fixtures/gguf-mixed.gguf");
  const RunResult inspected = run_nibble({"inspect", file, "--json"});
  EXPECT_EQ(inspected.exit_code, 0) << inspected.err;
  EXPECT_EQ(parse_only_object(inspected)["dialect"], "gguf");
  const RunResult ids = run_nibble({"tokenize", file, "the"});
  EXPECT_EQ(ids.out, "83,269\n") << ids.err;
  const RunResult more =
      run_nibble({"generate", file, "--prompt", "the", "-n", "3", "--ids", "--temp", "0"});
  EXPECT_EQ(more.exit_code, 0) << more.err;
  EXPECT_EQ(std::count(more.out.begin(), more.out.end(), ','), 2) << more.out;
}

TEST(Cli, TokenizeBothWays) {
  const RunResult ids = run_nibble({"tokenize", nano(), "It is a truth", "--json"});
  EXPECT_EQ(ids.exit_code, 0) << ids.err;
  const Json json = parse_only_object(ids);
  ASSERT_TRUE(json["ids"].is_array());
  std::string list;
  for (const Json& id : json["ids"]) list += std::to_string(id.get<int>()) + ",";
  EXPECT_EQ(run_nibble({"tokenize", nano() + "/tokenizer.json", "--decode", list}).out,
            "It is a truth\n");
  RunOptions piped;
  piped.input = "It is a truth";
  EXPECT_EQ(parse_only_object(run_nibble({"tokenize", nano(), "--json"}, piped))["ids"],
            json["ids"]);
  EXPECT_EQ(run_nibble({"tokenize", nano(), "--decode", "99999"}).exit_code, 2);
}

TEST(Cli, RenderTemplates) {
  const TemporaryFolder folder;
  write_text(folder.path("m.json"), R"([{"role": "user", "content": "Hi"}])");
  const std::string turn = "<|im_start|>user\nHi<|im_end|>\n";
  const std::vector<std::string> call = {"render", nano(), "--messages", folder.path("m.json"),
                                         "--json"};
  const auto text_of = [&](std::vector<std::string> more) {
    more.insert(more.begin(), call.begin(), call.end());
    const RunResult result = run_nibble(more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return parse_only_object(result)["text"].get<std::string>();
  };
  EXPECT_EQ(text_of({}), turn + "<|im_start|>assistant\n<think>\n");
  EXPECT_EQ(text_of({"--no-generation-prompt"}), turn);
  EXPECT_EQ(text_of({"--set", "enable_thinking=false"}),
            turn + "<|im_start|>assistant\n<think>\n\n</think>\n\n");
  write_text(folder.path("t.jinja"), "{{ messages|length }} {{ eos_token }} {{ word }}");
  EXPECT_EQ(text_of({"--template", folder.path("t.jinja"), "--set", "word=plain text"}),
            "1 <|im_end|> plain text");
  write_text(folder.path("bad.jinja"), "{% if %}");
  const RunResult bad = run_nibble({"render", nano(), "--messages", folder.path("m.json"),
                                    "--template", folder.path("bad.jinja")});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_NE(bad.err.find("line 1"), std::string::npos) << bad.err;
}

TEST(Cli, GenerateIsRepeatable) {
  const std::vector<std::string> call = {
      "generate", nano(), "--prompt", "It is a truth", "-n", "12", "--temperature", "0", "--json"};
  const RunResult result = run_nibble(call);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json json = parse_only_object(result);
  expect_keys(json, {"text", "ids", "finish_reason", "seed", "decode_tok_s"});
  EXPECT_EQ(parse_only_object(run_nibble(call))["ids"], json["ids"]);
  const RunResult plain = run_nibble(
      {"generate", nano(), "--prompt", "It is a truth", "-n", "12", "--temperature", "0", "-q"});
  EXPECT_EQ(plain.out, json["text"].get<std::string>() + "\n");
  EXPECT_EQ(plain.err, "");
}

TEST(Cli, LogitsFileIsWritten) {
  const TemporaryFolder folder;
  for (const std::string precision : {"auto", "f32"}) {
    const std::string path = folder.path(precision + ".safetensors");
    const RunResult result = run_nibble(
        {"logits", nano(), "--ids", "1,2,3", "--precision", precision, "-o", path, "--json"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(parse_only_object(result)["shape"], Json({3, 8192}));
    EXPECT_GT(std::filesystem::file_size(path), 3u * 8192u * 4u);
  }
}

TEST(Cli, InspectVerifyAndEvalOfAnExport) {
  const std::string& output = quantized_nano();
  const RunResult inspect = run_nibble({"inspect", output, "--json"});
  EXPECT_EQ(inspect.exit_code, 0) << inspect.err;
  expect_keys(parse_only_object(inspect), {"tensors"});

  const RunResult verify = run_nibble({"verify", output, "--source", nano(), "--json"});
  EXPECT_EQ(verify.exit_code, 0) << verify.err << verify.out;
  EXPECT_EQ(parse_only_object(verify)["ok"], true);

  const RunResult eval = run_nibble({"eval", output, "--base", nano(), "--text",
                                     source_path("models/nano/chat_template.jinja"), "--ctx", "64",
                                     "--max-windows", "2", "--json"});
  EXPECT_EQ(eval.exit_code, 0) << eval.err;
  const Json json = parse_only_object(eval);
  expect_keys(json, {"ppl", "ppl_se", "kld_mean", "kld_se", "kld_median", "kld_p99", "kld_max",
                     "top1_agreement", "n_tokens", "n_windows", "base_ppl", "size_bytes"});
  EXPECT_EQ(json["n_windows"], 2);
  EXPECT_EQ(json["n_tokens"], 62);
  EXPECT_GT(json["kld_mean"].get<double>(), 0.0);
}

TEST(Cli, VerifyFindsADamagedExport) {
  const TemporaryFolder folder;
  std::filesystem::copy(quantized_nano(), folder.path("copy"));
  std::filesystem::remove(folder.path("copy/tokenizer_config.json"));
  EXPECT_EQ(run_nibble({"verify", folder.path("copy"), "--source", nano()}).exit_code, 6);
}

TEST(Cli, EvalAnswersTasks) {
  const TemporaryFolder folder;
  write_text(folder.path("tasks.jsonl"),
             "{\"kind\": \"add\", \"question\": \"2977 plus 205 equals what?\", \"answer\": "
             "\"3182\"}\n{\"kind\": \"odd\", \"question\": \"Hi\", \"answer\": \"zzzzzz\"}\n");
  const RunResult result =
      run_nibble({"eval", nano(), "--tasks", folder.path("tasks.jsonl"), "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json json = parse_only_object(result);
  expect_keys(json, {"accuracy", "accuracy_by_kind"});
  EXPECT_EQ(json["accuracy_by_kind"]["odd"], 0.0);
}

TEST(Cli, ChatAnswersLinesOfAPipe) {
  RunOptions piped;
  piped.input = "What is 2 plus 3?\n/reset\nWhat is the capital of France?\n";
  const RunResult result =
      run_nibble({"chat", nano(), "--seed", "1", "--max-tokens", "120"}, piped);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.find('\x1b'), std::string::npos) << "colours belong to terminals";
  EXPECT_FALSE(result.out.empty());
}

TEST(Cli, AFullStdoutIsAnError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  RunOptions options;
  options.stdout_file = "/dev/full";
  EXPECT_EQ(run_nibble({"tokenize", nano(), "text"}, options).exit_code, 1);
}

}  // namespace
}  // namespace nibble::test

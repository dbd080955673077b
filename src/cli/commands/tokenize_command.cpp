// `nibble tokenize`: text to ids, or ids to text, by a tokenizer alone.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands/make_commands.h"
#include "cli/model_source.h"
#include "cli/token_ids.h"

namespace nibble {
namespace {

class TokenizeCommand : public Command {
 public:
  void declare(ArgumentParser& parser) override {
    parser.positional("MODEL", model_,
                      "Checkpoint folder, GGUF file or tokenizer.json; no weight is read");
    parser.positional("TEXT", words_, "The text, or with --decode the ids; stdin if absent");
    parser.option("-f,--file", file_, "Read the text or the ids from a file", "FILE");
    parser.flag("--decode", decode_, "From ids to text");
    parser.flag("--no-special", no_special_,
                "Special tokens in the text are ordinary text; with --decode they are left out");
    parser.flag("--add-special", add_special_, "Add what the tokenizer's post-processor adds");
  }

  Result<int> run(Console& console, const GeneralOptions&) override {
    if (!words_.empty() && file_) {
      return Error(ErrorCode::kInvalidArgument, "give either TEXT or --file, not both");
    }
    if (!decode_ && words_.size() > 1) {
      return Error(ErrorCode::kInvalidArgument,
                   "TEXT is more than one argument: put it in quotation marks");
    }
    ASSIGN_OR_RETURN(const Tokenizer tokenizer, open_tokenizer(model_));
    ASSIGN_OR_RETURN(const std::string input, read_input());
    return decode_ ? decode(console, tokenizer, input) : encode(console, tokenizer, input);
  }

 private:
  Result<std::string> read_input() const {
    if (file_) return read_argument_file(*file_);
    if (words_.empty()) return read_stdin();
    return fmt::format("{}", fmt::join(words_, " "));
  }

  Result<int> encode(Console& console, const Tokenizer& tokenizer, const std::string& text) const {
    EncodeOptions options;
    options.parse_special = !no_special_;
    options.add_special_tokens = add_special_;
    ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer.encode(text, options));
    console.print_json({{"ids", ids}, {"n_tokens", ids.size()}});
    console.print(token_ids_text(ids) + "\n");
    return 0;
  }

  Result<int> decode(Console& console, const Tokenizer& tokenizer, const std::string& list) const {
    ASSIGN_OR_RETURN(const std::vector<int32_t> ids, parse_token_ids(list));
    for (const int32_t id : ids) {
      if (static_cast<size_t>(id) >= tokenizer.size()) {
        return Error(
            ErrorCode::kInvalidArgument,
            fmt::format("token {} does not exist: ids go from 0 to {}", id, tokenizer.size() - 1),
            model_);
      }
    }
    DecodeOptions options;
    options.skip_special = no_special_;
    const std::string text = tokenizer.decode(ids, options);
    console.print_json({{"text", text}});
    console.print(text + "\n");
    return 0;
  }

  std::string model_;
  std::vector<std::string> words_;
  std::optional<std::string> file_;
  bool decode_ = false;
  bool no_special_ = false;
  bool add_special_ = false;
};

}  // namespace

std::unique_ptr<Command> make_tokenize_command() { return std::make_unique<TokenizeCommand>(); }

}  // namespace nibble

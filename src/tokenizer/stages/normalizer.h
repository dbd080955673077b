// "normalizer" of tokenizer.json: what is done to ordinary text before it is split.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tokenizer/definition/fields.h"
#include "tokenizer/regex/regex.h"
#include "tokenizer/unicode/normalization.h"

namespace nibble {

/// A chain of steps. Immutable after creation, any thread.
class Normalizer {
 public:
  /// Working memory of apply.
  struct Scratch {
    std::string buffers[2];
    std::vector<uint8_t> symbols;
    std::vector<TextSpan> matches;
  };

  /// Reads the normalizer of the document; none means no change.
  /// Errors: kCorrupt, kUnsupported (names the type).
  static Result<Normalizer> create(const FieldsView& document);

  /// Returns `text` itself if nothing changes, else a view into `scratch`.
  Result<std::string_view> apply(std::string_view text, Scratch& scratch) const;

 private:
  struct Step {
    enum class Kind { kNormalForm, kReplace, kPrepend };
    Kind kind;
    NormalForm form = NormalForm::kNfc;
    std::optional<Regex> pattern;
    std::string content;  // the replacement, or what is put in front
  };

  Status add_step(const FieldsView& fields, int depth);
  static Result<std::string_view> run(const Step& step, std::string_view text, std::string& buffer,
                                      Scratch& scratch);

  std::vector<Step> steps_;
};

}  // namespace nibble

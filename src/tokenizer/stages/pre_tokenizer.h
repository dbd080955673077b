// "pre_tokenizer" of tokenizer.json: cuts text into the words that are encoded one by one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tokenizer/definition/fields.h"
#include "tokenizer/regex/regex.h"

namespace nibble {

/// What happens to the matches of a Split.
enum class SplitBehavior {
  kRemoved,             ///< left out
  kIsolated,            ///< each a word of its own, like every stretch between them
  kMergedWithPrevious,  ///< joined to the stretch on the left
  kMergedWithNext,      ///< joined to the stretch on the right
  kContiguous,          ///< like kIsolated, but neighbouring matches are one word
};

/// A chain of splits, the last of which writes bytes. Immutable after creation, any thread.
class PreTokenizer {
 public:
  /// Working memory of split.
  struct Scratch {
    std::vector<uint8_t> symbols;
    std::vector<TextSpan> matches;
    std::vector<TextSpan> pieces;
    std::vector<TextSpan> next_pieces;
    std::string prefixed;  // the text again, with the spaces that add_prefix_space puts in
  };

  /// Reads the pre-tokenizer of the document. Errors: kCorrupt; kUnsupported, also where there is
  /// no ByteLevel at the end: then the vocabulary is not one of bytes.
  static Result<PreTokenizer> create(const FieldsView& document);

  /// Cuts valid UTF-8 into words, none empty: spans of the text returned, which is `text` itself or
  /// a copy in `scratch`; the spans are scratch.pieces.
  Result<std::string_view> split(std::string_view text, Scratch& scratch) const;

 private:
  struct Step {
    Regex pattern;
    SplitBehavior behavior;
    bool invert;
  };

  Status add_step(const FieldsView& fields, int depth);
  Status add_byte_level(const FieldsView& fields);
  static Status run(const Step& step, std::string_view text, Scratch& scratch);
  static std::string_view add_prefix_spaces(std::string_view text, Scratch& scratch);

  std::vector<Step> steps_;
  std::optional<Step> byte_level_split_;  // after the prefix spaces
  bool has_byte_level_ = false;
  bool add_prefix_space_ = false;
};

}  // namespace nibble

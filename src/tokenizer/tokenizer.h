// Text to token ids and back, as the tokenizer.json of a checkpoint says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace nibble {

/// A token outside the byte-pair vocabulary: found in the raw text before anything else happens.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  ///< only where no word character touches it
  bool lstrip = false;       ///< takes the white space on its left with it
  bool rstrip = false;       ///< takes the white space on its right with it
  bool normalized = false;   ///< is looked for in the normalised text, itself normalised
  bool special = false;      ///< controls the model rather than being part of what it says
};

struct EncodeOptions {
  /// False: special tokens in the text are ordinary text, so that what a user writes cannot become
  /// a control token. Added tokens that are not special (`<think>`, `<tool_call>`) are still found.
  bool parse_special = true;
  /// False: no added token at all is found in the text.
  bool parse_added = true;
  /// True: puts the tokens of the post-processor's template around the text (the Qwen family has
  /// none).
  bool add_special_tokens = false;
};

struct DecodeOptions {
  bool skip_special = false;  ///< leaves special tokens out of the text
};

/// A byte-level BPE tokenizer. Ids and texts equal those of the reference library (Hugging Face
/// tokenizers, which normalises by Unicode 9.0 and splits by 16.0). Movable; all const members are
/// safe from several threads at once. "truncation" and "padding" of the file are not carried out.
class Tokenizer {
 public:
  /// Builds a tokenizer from the content of a tokenizer.json; `subject` names the file in errors.
  /// Normalizers NFC, NFD, NFKC, NFKD, Replace, Prepend; pre-tokenizers Split, Digits, ByteLevel
  /// (last); model BPE; post-processors ByteLevel, TemplateProcessing; decoder ByteLevel; sequences
  /// of these. Cost: half a second for 150,000 tokens. Errors: kCorrupt (broken JSON; ids out of
  /// range, missing or given twice; merges of unknown tokens; regular expressions that do not
  /// compile ...), kUnsupported (names the type that nibble lacks), kLimit (over 2^22 tokens,
  /// tokens over 64 KiB, added tokens over 1 KiB).
  static Result<Tokenizer> from_json(std::string_view tokenizer_json, std::string_view subject);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// The ids of a text. Cost: linear in practice, about 9 MB/s of English text on one core.
  /// Errors: kInvalidArgument if the text is not valid UTF-8 (the message has the position), kLimit
  /// if the file's regular expression takes exponential time on it.
  Result<std::vector<int32_t>> encode(std::string_view text,
                                      const EncodeOptions& options = {}) const;

  /// The text of ids. Ids without a token are left out; each broken UTF-8 sequence becomes U+FFFD.
  std::string decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;

  /// The raw bytes that a token adds to the text (" the"), possibly only a part of a character;
  /// empty for an id without a token. Valid while the tokenizer lives.
  std::string_view token_bytes(int32_t id) const;

  /// The number of tokens. Ids are 0 to size() - 1 without gaps. A model may have more rows than
  /// that in its embedding; those rows mean nothing.
  size_t size() const;

  /// The id of a token by its content as the file writes it: "<|im_end|>", or "Ġthe" for " the".
  std::optional<int32_t> token_id(std::string_view content) const;

  /// In the order of the file.
  const std::vector<AddedToken>& added_tokens() const;

  /// Whether the token is an added token with `special` set.
  bool is_special(int32_t id) const;

 private:
  struct Parts;
  explicit Tokenizer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace nibble

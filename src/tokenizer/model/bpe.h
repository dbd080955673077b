// Byte-pair encoding of one word.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tokenizer/definition/fields.h"
#include "tokenizer/model/merge_table.h"
#include "tokenizer/model/vocabulary.h"
#include "tokenizer/model/word_cache.h"

namespace nibble {

/// Working memory of Bpe::encode_word, kept between calls. One thread at a time.
struct BpeScratch {
  struct Symbol {
    int32_t token;
    int32_t previous;  // index of the neighbours, -1 at the ends
    int32_t next;
  };
  struct Candidate {
    uint32_t rank;
    int32_t position;
    int32_t result;
  };
  WordCache cache;
  std::vector<int32_t> symbols;
  std::vector<Symbol> list;
  std::vector<Candidate> queue;
};

/// The merges of a vocabulary that it borrows only while it is created. Immutable, any thread.
class Bpe {
 public:
  /// Reads "model" of tokenizer.json; `vocabulary` gets its tokens. Errors: kCorrupt, kUnsupported,
  /// kLimit.
  static Result<Bpe> create(const FieldsView& model, Vocabulary& vocabulary);

  /// Appends the tokens of one word, given in raw bytes. The pair of lowest rank merges first, the
  /// leftmost of equals, until none is left. Cost: quadratic up to 48 bytes, then n log n.
  void encode_word(std::string_view word, const Vocabulary& vocabulary, BpeScratch& scratch,
                   std::vector<int32_t>& out) const;

 private:
  Bpe() = default;
  Status read_merges(const FieldsView& model, const Vocabulary& vocabulary);
  Status read_byte_symbols(const FieldsView& model, const Vocabulary& vocabulary);
  void append_symbols(std::string_view word, std::vector<int32_t>& symbols) const;
  void merge_short(std::vector<int32_t>& symbols) const;
  void merge_long(BpeScratch& scratch) const;

  MergeTable merges_;
  // Tokens of each byte: one, but for a vocabulary without that byte, which has the two of its
  // letter in hexadecimal ("<0xC4><0xA0>"), or none: then the unknown token, if any, stands for it.
  std::array<std::vector<int32_t>, 256> byte_symbols_;
  std::optional<int32_t> unknown_;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;
};

}  // namespace nibble

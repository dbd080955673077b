// The added tokens of a tokenizer: reading their list and finding them in text.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tokenizer/added/prefix_tree.h"
#include "tokenizer/definition/fields.h"
#include "tokenizer/model/vocabulary.h"
#include "tokenizer/tokenizer.h"

namespace nibble {

/// A stretch of text that is either one added token or, with kNotAdded, ordinary.
struct AddedSplit {
  static constexpr int32_t kNotAdded = -1;
  std::string_view text;
  int32_t id;
};

/// Immutable after creation, any thread.
class AddedTokens {
 public:
  static constexpr size_t kMaxContentBytes = 1024;

  /// Reads "added_tokens" of tokenizer.json. Tokens that `vocabulary` lacks are added to it; their
  /// ids must continue it in order, for so the reference library numbers them, whatever the file
  /// says. Errors: kCorrupt, kLimit.
  static Result<AddedTokens> create(const FieldsView& document, Vocabulary& vocabulary);

  /// Prepares find_normalized with the contents after `normalize`. Call once.
  Status prepare_normalized(const std::function<Result<std::string>(std::string_view)>& normalize);

  /// Splits raw text at the tokens that are not `normalized`, left to right, the longest first.
  /// With `skip_special` a special token that is found counts as text.
  void split_raw(std::string_view text, bool skip_special, std::vector<AddedSplit>& out) const {
    split(raw_, text, skip_special, out);
  }
  /// The same for normalised text and the tokens that are `normalized`.
  void split_normalized(std::string_view text, bool skip_special,
                        std::vector<AddedSplit>& out) const {
    split(normalized_, text, skip_special, out);
  }

  const std::vector<AddedToken>& list() const { return list_; }

 private:
  void split(const PrefixTree& tree, std::string_view text, bool skip_special,
             std::vector<AddedSplit>& out) const;

  std::vector<AddedToken> list_;
  PrefixTree raw_;  // values are indices into list_
  PrefixTree normalized_;
};

}  // namespace nibble

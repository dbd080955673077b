#include "tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <mutex>
#include <utility>

#include "tokenizer/added/added_tokens.h"
#include "tokenizer/definition/fields.h"
#include "tokenizer/model/bpe.h"
#include "tokenizer/model/vocabulary.h"
#include "tokenizer/stages/normalizer.h"
#include "tokenizer/stages/post_processor.h"
#include "tokenizer/stages/pre_tokenizer.h"
#include "tokenizer/unicode/utf8.h"

namespace nibble {
namespace {

// Everything that one call of encode writes to; kept for the next call, with the words it
// remembers.
struct EncodeScratch {
  std::vector<AddedSplit> raw_splits;
  std::vector<AddedSplit> normalized_splits;
  Normalizer::Scratch normalizer;
  PreTokenizer::Scratch pre_tokenizer;
  BpeScratch bpe;
};

// Texts above this leave their scratch memory behind.
constexpr size_t kMaxPooledTextBytes = size_t{4} << 20;

// Scratch memory for as many threads as encode at once.
class ScratchPool {
 public:
  std::unique_ptr<EncodeScratch> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<EncodeScratch>();
    std::unique_ptr<EncodeScratch> scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void give_back(std::unique_ptr<EncodeScratch> scratch) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(scratch));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<EncodeScratch>> free_;
};

}  // namespace

struct Tokenizer::Parts {
  Vocabulary vocabulary;
  Bpe bpe;
  AddedTokens added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  PostProcessor post_processor;
  std::vector<bool> is_special;
  mutable ScratchPool scratch_pool;

  // Text between added tokens: normalises it and looks for the added tokens of normalised text.
  Status encode_stretch(std::string_view text, const EncodeOptions& options, EncodeScratch& scratch,
                        std::vector<int32_t>& out) const {
    ASSIGN_OR_RETURN(const std::string_view normalized, normalizer.apply(text, scratch.normalizer));
    if (!options.parse_added) return encode_words(normalized, scratch, out);
    added.split_normalized(normalized, !options.parse_special, scratch.normalized_splits);
    for (const AddedSplit& split : scratch.normalized_splits) {
      if (split.id != AddedSplit::kNotAdded) {
        out.push_back(split.id);
      } else {
        RETURN_IF_ERROR(encode_words(split.text, scratch, out));
      }
    }
    return {};
  }

  Status encode_words(std::string_view text, EncodeScratch& scratch,
                      std::vector<int32_t>& out) const {
    ASSIGN_OR_RETURN(const std::string_view words,
                     pre_tokenizer.split(text, scratch.pre_tokenizer));
    for (const TextSpan& piece : scratch.pre_tokenizer.pieces) {
      bpe.encode_word(words.substr(piece.begin, piece.end - piece.begin), vocabulary, scratch.bpe,
                      out);
    }
    return {};
  }

  Status encode(std::string_view text, const EncodeOptions& options, EncodeScratch& scratch,
                std::vector<int32_t>& out) const {
    if (!options.parse_added) return encode_stretch(text, options, scratch, out);
    added.split_raw(text, !options.parse_special, scratch.raw_splits);
    for (const AddedSplit& split : scratch.raw_splits) {
      if (split.id != AddedSplit::kNotAdded) {
        out.push_back(split.id);
      } else {
        RETURN_IF_ERROR(encode_stretch(split.text, options, scratch, out));
      }
    }
    return {};
  }
};

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::from_json(std::string_view tokenizer_json, std::string_view subject) {
  ASSIGN_OR_RETURN(const SortedJson json, parse_sorted_json(tokenizer_json, subject));
  ASSIGN_OR_RETURN(const FieldsView document, FieldsView::open(json, "", subject));
  ASSIGN_OR_RETURN(Normalizer normalizer, Normalizer::create(document));
  ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::create(document));
  RETURN_IF_ERROR(check_decoder(document));
  ASSIGN_OR_RETURN(const FieldsView model, document.object("model"));
  Vocabulary vocabulary;
  ASSIGN_OR_RETURN(Bpe bpe, Bpe::create(model, vocabulary));
  ASSIGN_OR_RETURN(AddedTokens added, AddedTokens::create(document, vocabulary));
  Normalizer::Scratch scratch;
  RETURN_IF_ERROR(added.prepare_normalized([&](std::string_view text) -> Result<std::string> {
    ASSIGN_OR_RETURN(const std::string_view changed, normalizer.apply(text, scratch));
    return std::string(changed);
  }));
  ASSIGN_OR_RETURN(PostProcessor post_processor, read_post_processor(document, vocabulary));
  std::vector<bool> is_special(static_cast<size_t>(vocabulary.size()));
  for (const AddedToken& token : added.list()) {
    if (token.special) is_special[static_cast<size_t>(token.id)] = true;
  }
  return Tokenizer(std::unique_ptr<Parts>(new Parts{std::move(vocabulary),
                                                    std::move(bpe),
                                                    std::move(added),
                                                    std::move(normalizer),
                                                    std::move(pre_tokenizer),
                                                    std::move(post_processor),
                                                    std::move(is_special),
                                                    {}}));
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text,
                                               const EncodeOptions& options) const {
  const size_t n_valid = valid_utf8_prefix(text);
  if (n_valid != text.size()) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("the text is not valid UTF-8 at byte {} of {}; convert it to UTF-8",
                             n_valid, text.size()));
  }
  std::vector<int32_t> ids;
  if (options.add_special_tokens) ids = parts_->post_processor.before;
  std::unique_ptr<EncodeScratch> scratch = parts_->scratch_pool.take();
  const Status status = parts_->encode(text, options, *scratch, ids);
  if (text.size() <= kMaxPooledTextBytes) parts_->scratch_pool.give_back(std::move(scratch));
  RETURN_IF_ERROR(status);
  if (options.add_special_tokens) {
    ids.insert(ids.end(), parts_->post_processor.after.begin(), parts_->post_processor.after.end());
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (!options.skip_special || !is_special(id)) bytes.append(token_bytes(id));
  }
  if (valid_utf8_prefix(bytes) == bytes.size()) return bytes;
  std::string text;
  append_lossy_utf8(text, bytes, true);
  return text;
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  if (id < 0 || id >= parts_->vocabulary.size()) return {};
  return parts_->vocabulary.bytes(id);
}

size_t Tokenizer::size() const { return static_cast<size_t>(parts_->vocabulary.size()); }

std::optional<int32_t> Tokenizer::token_id(std::string_view content) const {
  return parts_->vocabulary.find(content);
}

const std::vector<AddedToken>& Tokenizer::added_tokens() const { return parts_->added.list(); }

bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && static_cast<size_t>(id) < parts_->is_special.size() &&
         parts_->is_special[static_cast<size_t>(id)];
}

}  // namespace nibble

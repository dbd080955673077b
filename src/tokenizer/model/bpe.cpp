#include "tokenizer/model/bpe.h"

#include <fmt/format.h>

#include <algorithm>

#include "tokenizer/model/byte_alphabet.h"
#include "tokenizer/model/model_definition.h"

namespace nibble {
namespace {

// Up to here a scan for the lowest rank beats a queue.
constexpr size_t kMaxShortWord = 48;

// Orders a heap so that the lowest rank, then the leftmost position, is on top.
struct ComesLater {
  bool operator()(const BpeScratch::Candidate& a, const BpeScratch::Candidate& b) const {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  }
};

}  // namespace

Result<Bpe> Bpe::create(const FieldsView& model, Vocabulary& vocabulary) {
  RETURN_IF_ERROR(check_model_options(model));
  RETURN_IF_ERROR(read_vocabulary(model, vocabulary));
  Bpe bpe;
  ASSIGN_OR_RETURN(bpe.ignore_merges_, model.bool_or("ignore_merges", false));
  RETURN_IF_ERROR(bpe.read_merges(model, vocabulary));
  RETURN_IF_ERROR(bpe.read_byte_symbols(model, vocabulary));
  return bpe;
}

Status Bpe::read_merges(const FieldsView& model, const Vocabulary& vocabulary) {
  ASSIGN_OR_RETURN(const std::vector<MergeRow> rows, nibble::read_merges(model, vocabulary));
  merges_.reserve(rows.size());
  for (size_t rank = 0; rank < rows.size(); ++rank) {
    const MergeRow& row = rows[rank];
    merges_.add(row.left, row.right, {static_cast<uint32_t>(rank), row.result});
  }
  return {};
}

Status Bpe::read_byte_symbols(const FieldsView& model, const Vocabulary& vocabulary) {
  ASSIGN_OR_RETURN(const bool has_byte_fallback, model.bool_or("byte_fallback", false));
  ASSIGN_OR_RETURN(fuse_unknown_, model.bool_or("fuse_unk", false));
  ASSIGN_OR_RETURN(const std::string_view unknown, model.string_or("unk_token", ""));
  bool is_any_missing = false;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char raw = static_cast<char>(byte);
    const std::string letter = to_byte_alphabet({&raw, 1});
    if (const auto id = vocabulary.find(letter)) {
      byte_symbols_[byte] = {*id};
      continue;
    }
    std::vector<int32_t> fallback;
    for (const char part : letter) {
      const auto id = vocabulary.find(fmt::format("<0x{:02X}>", static_cast<uint8_t>(part)));
      if (has_byte_fallback && id) fallback.push_back(*id);
    }
    if (fallback.size() == letter.size()) {
      byte_symbols_[byte] = std::move(fallback);
    } else {
      is_any_missing = true;
    }
  }
  if (!is_any_missing || model.find("unk_token") == nullptr) return {};
  unknown_ = vocabulary.find(unknown);
  if (unknown_) return {};
  return model.corrupt("the vocabulary lacks some bytes and also the \"unk_token\" meant for them");
}

void Bpe::append_symbols(std::string_view word, std::vector<int32_t>& symbols) const {
  bool is_after_unknown = false;
  for (const char c : word) {
    const std::vector<int32_t>& known = byte_symbols_[static_cast<uint8_t>(c)];
    symbols.insert(symbols.end(), known.begin(), known.end());
    if (known.empty() && unknown_ && !(fuse_unknown_ && is_after_unknown)) {
      symbols.push_back(*unknown_);
    }
    is_after_unknown = known.empty();
  }
}

void Bpe::encode_word(std::string_view word, const Vocabulary& vocabulary, BpeScratch& scratch,
                      std::vector<int32_t>& out) const {
  const bool is_cacheable = word.size() <= WordCache::kMaxWordBytes;
  WordCache::Key key{word, 0};
  if (is_cacheable) {
    key = scratch.cache.key_of(word);
    const auto cached = scratch.cache.find(key);
    if (!cached.empty()) {
      out.insert(out.end(), cached.begin(), cached.end());
      return;
    }
  }
  std::vector<int32_t>& symbols = scratch.symbols;
  symbols.clear();
  const auto whole = ignore_merges_ ? vocabulary.find(to_byte_alphabet(word)) : std::nullopt;
  if (whole) {
    symbols.push_back(*whole);
  } else {
    append_symbols(word, symbols);
    if (symbols.size() <= kMaxShortWord) {
      merge_short(symbols);
    } else {
      merge_long(scratch);
    }
  }
  if (is_cacheable) scratch.cache.remember(key, symbols);
  out.insert(out.end(), symbols.begin(), symbols.end());
}

void Bpe::merge_short(std::vector<int32_t>& symbols) const {
  size_t n = symbols.size();
  std::array<Merge, kMaxShortWord> merges;  // merges[i]: of symbols i and i + 1
  for (size_t i = 0; i + 1 < n; ++i) merges[i] = merges_.find(symbols[i], symbols[i + 1]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == Merge::kNoRank) break;
    symbols[best] = merges[best].result;
    std::copy(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 2,
              symbols.begin() + static_cast<std::ptrdiff_t>(n),
              symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(merges.begin() + best + 1, merges.begin() + n - 1, merges.begin() + best);
    --n;
    if (best > 0) merges[best - 1] = merges_.find(symbols[best - 1], symbols[best]);
    if (best + 1 < n) merges[best] = merges_.find(symbols[best], symbols[best + 1]);
  }
  symbols.resize(n);
}

void Bpe::merge_long(BpeScratch& scratch) const {
  constexpr int32_t kNone = -1;
  constexpr int32_t kMergedAway = -1;
  auto& list = scratch.list;
  auto& queue = scratch.queue;
  const auto at = [&list](int32_t i) -> BpeScratch::Symbol& {
    return list[static_cast<size_t>(i)];
  };
  const auto find_merge = [&](int32_t left) {
    return merges_.find(at(left).token, at(at(left).next).token);
  };
  const auto n = static_cast<int32_t>(scratch.symbols.size());
  list.clear();
  queue.clear();
  for (int32_t i = 0; i < n; ++i) {
    list.push_back({scratch.symbols[static_cast<size_t>(i)], i - 1, i + 1 < n ? i + 1 : kNone});
  }
  for (int32_t i = 0; i + 1 < n; ++i) {
    const Merge merge = find_merge(i);
    if (merge.rank != Merge::kNoRank) queue.push_back({merge.rank, i, merge.result});
  }
  std::make_heap(queue.begin(), queue.end(), ComesLater());
  const auto enqueue = [&](int32_t left) {
    const Merge merge = find_merge(left);
    if (merge.rank == Merge::kNoRank) return;
    queue.push_back({merge.rank, left, merge.result});
    std::push_heap(queue.begin(), queue.end(), ComesLater());
  };
  while (!queue.empty()) {
    const BpeScratch::Candidate top = queue.front();
    std::pop_heap(queue.begin(), queue.end(), ComesLater());
    queue.pop_back();
    BpeScratch::Symbol& left = at(top.position);
    // The pair may have changed since it was queued.
    if (left.token == kMergedAway || left.next == kNone) continue;
    if (find_merge(top.position).result != top.result) continue;
    BpeScratch::Symbol& right = at(left.next);
    left.token = top.result;
    left.next = right.next;
    right.token = kMergedAway;
    if (left.next != kNone) {
      at(left.next).previous = top.position;
      enqueue(top.position);
    }
    if (left.previous != kNone) enqueue(left.previous);
  }
  scratch.symbols.clear();
  for (int32_t i = n > 0 ? 0 : kNone; i != kNone; i = at(i).next) {
    scratch.symbols.push_back(at(i).token);
  }
}

}  // namespace nibble

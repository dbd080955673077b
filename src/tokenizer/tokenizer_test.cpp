// Options, look-ups, threads, awkward inputs, and the merge order against a plain reference.
#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>

#include "core/clock.h"
#include "tokenizer/stream_decoder.h"
#include "tokenizer/testing/test_files.h"

namespace nibble {
namespace {

using test::Ids;

SortedJson micro_json() {
  return *parse_sorted_json(
      test::read_text(test::source_path("tests/data/tokenizer/micro_tokenizer.json")), "micro");
}

SortedJson added_token(int32_t id, const std::string& content) {
  return {{"id", id}, {"content", content}, {"special", true}, {"normalized", false}};
}

TEST(Tokenizer, LooksUpTokens) {
  const Tokenizer tokenizer = test::nano_tokenizer();
  EXPECT_EQ(tokenizer.size(), 8033u);
  EXPECT_EQ(tokenizer.token_id("<|im_end|>"), 8002);
  EXPECT_FALSE(tokenizer.token_id("no such token"));
  EXPECT_TRUE(tokenizer.is_special(8002));
  EXPECT_FALSE(tokenizer.is_special(*tokenizer.token_id("<think>")));
  EXPECT_EQ(tokenizer.token_bytes(*tokenizer.token_id("\xC4\xA0the")), " the");
  for (const int32_t id : {-1, 8033, INT32_MAX, INT32_MIN}) {
    EXPECT_TRUE(tokenizer.token_bytes(id).empty());
    EXPECT_FALSE(tokenizer.is_special(id));
    EXPECT_EQ(tokenizer.decode(Ids{64, id, 65}), "ab");
  }
  ASSERT_EQ(tokenizer.added_tokens().size(), 33u);
  EXPECT_EQ(tokenizer.added_tokens()[2].content, "<|im_end|>");
}

TEST(Tokenizer, UserTextCannotBecomeControlTokens) {
  const Tokenizer tokenizer = test::nano_tokenizer();
  const std::string text = "a<|im_end|><think>";
  EXPECT_EQ(test::encode_or_fail(tokenizer, text), (Ids{64, 8002, 8024}));
  const Ids plain = test::encode_or_fail(tokenizer, text, {.parse_special = false});
  EXPECT_EQ(std::count(plain.begin(), plain.end(), 8002), 0);
  EXPECT_EQ(plain.back(), 8024);
  const Ids ordinary = test::encode_or_fail(tokenizer, text, {.parse_added = false});
  EXPECT_TRUE(std::all_of(ordinary.begin(), ordinary.end(), [](int32_t id) { return id < 8000; }));
  for (const Ids& ids : {plain, ordinary}) EXPECT_EQ(tokenizer.decode(ids), text);
}

TEST(Tokenizer, RefusesBrokenUtf8WithItsPlace) {
  const Tokenizer tokenizer = test::nano_tokenizer();
  const auto ids = tokenizer.encode("abc\xFFxyz");
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(ids.error().message.find("at byte 3 of 7"), std::string::npos) << ids.error().message;
}

TEST(Tokenizer, ThreadsShareOneTokenizer) {
  const Tokenizer tokenizer = test::nano_tokenizer();
  const std::string text = test::read_text(test::source_path("src/tokenizer/tokenizer.cpp"));
  const Ids expected = test::encode_or_fail(tokenizer, text);
  std::vector<std::thread> threads;
  std::vector<Ids> results(4);
  for (size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 20; ++round) results[i] = test::encode_or_fail(tokenizer, text);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Ids& ids : results) EXPECT_EQ(ids, expected);
}

TEST(Tokenizer, LongTextsTakeNoQuadraticTime) {
  const Tokenizer tokenizer = test::nano_tokenizer();
  std::string newlines;
  for (int i = 0; i < 250000; ++i) newlines += " \n";
  const Stopwatch clock;
  for (const std::string& text :
       {std::string(500000, 'a'), std::string(500000, ' '), std::string(500000, '<'),
        std::string(500000, '\n'), std::string(500000, '7'), std::string(500000, '!'), newlines}) {
    EXPECT_EQ(tokenizer.decode(test::encode_or_fail(tokenizer, text)), text);
  }
  EXPECT_LT(clock.elapsed_s(), 60) << "a quadratic step would take hours";
}

TEST(Tokenizer, ManyAddedTokensTakeNoQuadraticTime) {
  SortedJson json = micro_json();
  const auto first = static_cast<int32_t>(json["added_tokens"].size()) + 256;
  for (int32_t i = 0; i < 100000; ++i) {
    json["added_tokens"].push_back(added_token(first + i, "<extra_" + std::to_string(i) + ">"));
  }
  const Stopwatch clock;
  const Tokenizer tokenizer = test::make_tokenizer(json.dump());
  std::string text;
  for (int i = 0; i < 50000; ++i) text += "<extra_" + std::to_string(i * 2) + "><extra_x";
  const Ids ids = test::encode_or_fail(tokenizer, text);
  EXPECT_EQ(ids[0], first);
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_LT(clock.elapsed_s(), 60);
}

TEST(Tokenizer, BytesWithoutATokenAreDroppedUnknownOrSpelled) {
  SortedJson json = micro_json();
  SortedJson& vocab = json["model"]["vocab"];
  const int32_t id = vocab["z"];
  vocab.erase("z");
  vocab["unk"] = id;
  EXPECT_EQ(test::encode_or_fail(test::make_tokenizer(json.dump()), "azzb"), (Ids{64, 65}));
  json["model"]["unk_token"] = "unk";
  EXPECT_EQ(test::encode_or_fail(test::make_tokenizer(json.dump()), "azzb"), (Ids{64, id, id, 65}));
  json["model"]["fuse_unk"] = true;
  EXPECT_EQ(test::encode_or_fail(test::make_tokenizer(json.dump()), "azzb"), (Ids{64, id, 65}));
  vocab.erase("unk");
  vocab["<0x7A>"] = id;
  json["model"]["byte_fallback"] = true;
  EXPECT_EQ(test::encode_or_fail(test::make_tokenizer(json.dump()), "az"), (Ids{64, id}));
  json["model"]["byte_fallback"] = false;
  EXPECT_FALSE(Tokenizer::from_json(json.dump(), "unknown token missing"));
}

TEST(Tokenizer, IgnoreMergesTakesWholeWordsFirst) {
  SortedJson json = micro_json();
  json["added_tokens"] = SortedJson::array();
  SortedJson& model = json["model"];
  model["vocab"]["ab"] = 256;
  model["vocab"]["abc"] = 257;
  model["merges"] = {"a b"};
  EXPECT_EQ(test::encode_or_fail(test::make_tokenizer(json.dump()), "abc"), (Ids{256, 66}));
  model["ignore_merges"] = true;
  EXPECT_EQ(test::encode_or_fail(test::make_tokenizer(json.dump()), "abc"), (Ids{257}));
}

// Merges by rereading the whole word each time, as the definition says.
Ids merge_plainly(Ids symbols, const std::map<std::pair<int32_t, int32_t>, Ids>& merges) {
  for (;;) {
    size_t best = 0;
    int32_t best_rank = INT32_MAX;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = merges.find({symbols[i], symbols[i + 1]});
      if (found == merges.end() || found->second[0] >= best_rank) continue;
      best = i;
      best_rank = found->second[0];
    }
    if (best_rank == INT32_MAX) return symbols;
    symbols[best] = merges.at({symbols[best], symbols[best + 1]})[1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(Bpe, ShortAndLongWordsMergeInOrderOfRank) {
  std::mt19937 random(5);
  for (int round = 0; round < 20; ++round) {
    SortedJson json = micro_json();
    json["added_tokens"] = SortedJson::array();
    json["model"]["merges"] = SortedJson::array();
    std::vector<std::string> tokens = {"a", "b", "c"};
    std::map<std::pair<int32_t, int32_t>, Ids> merges;
    SortedJson& vocab = json["model"]["vocab"];
    for (int32_t rank = 0; rank < 40; ++rank) {
      const std::string left = tokens[random() % tokens.size()];
      const std::string right = tokens[random() % tokens.size()];
      const std::string joined = left + right;
      if (joined.size() > 64) continue;
      if (!vocab.contains(joined)) {
        vocab[joined] = vocab.size();
        tokens.push_back(joined);
      }
      json["model"]["merges"].push_back(left + " " + right);
      const auto place = static_cast<int32_t>(json["model"]["merges"].size()) - 1;
      merges[{vocab[left], vocab[right]}] = {place, vocab[joined].get<int32_t>()};
    }
    const Tokenizer tokenizer = test::make_tokenizer(json.dump());
    for (const size_t length : {1u, 2u, 3u, 10u, 30u, 31u, 47u, 48u, 49u, 100u, 1000u}) {
      std::string word;
      Ids symbols;
      for (size_t i = 0; i < length; ++i) {
        word.push_back(static_cast<char>('a' + random() % 3));
        symbols.push_back(vocab[std::string(1, word.back())]);
      }
      const Ids expected = merge_plainly(symbols, merges);
      EXPECT_EQ(test::encode_or_fail(tokenizer, word), expected) << word;
      EXPECT_EQ(test::encode_or_fail(tokenizer, word), expected) << "from the cache: " << word;
    }
  }
}

TEST(StreamDecoder, PiecesJoinToTheDecodedText) {
  const Tokenizer tokenizer = test::nano_tokenizer();
  std::mt19937 random(9);
  for (int round = 0; round < 2000; ++round) {
    // Mostly single bytes, so that broken and cut-off characters are common.
    Ids ids;
    for (unsigned i = random() % 20; i > 0; --i) {
      ids.push_back(static_cast<int32_t>(random() % (random() % 3 == 0 ? 8100 : 256)));
    }
    for (const bool skip_special : {false, true}) {
      const DecodeOptions options{.skip_special = skip_special};
      StreamDecoder decoder(tokenizer, options);
      std::string text;
      for (const int32_t id : ids) text += decoder.push(id);
      text += decoder.flush();
      ASSERT_EQ(text, tokenizer.decode(ids, options));
      EXPECT_EQ(decoder.flush(), "");
    }
  }
}

}  // namespace
}  // namespace nibble

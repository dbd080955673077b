// Which programs load a checkpoint, by version: a knowledge base kept as data, asked with the facts
// of a diagnosis.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "doctor/diagnose.h"

namespace nibble {

enum class LoaderVerdict : uint8_t { kLoads, kDoesNot, kUnknown };

/// "loads", "does not", "unknown".
std::string_view verdict_name(LoaderVerdict verdict);

/// Where a statement comes from.
struct LoaderSource {
  std::string what;  ///< a version that was tried, a file that was read, an issue
  std::string how;   ///< "run", "source" (its code was read) or "reported"
};

/// What an engine does with checkpoints of which certain facts hold.
struct LoaderRule {
  enum class Effect : uint8_t { kLoads, kDoesNot, kUnknown, kWarns };
  std::string id;
  std::vector<std::string> engines;  ///< names
  std::string from;                  ///< first version; empty: from the beginning
  std::string until;                 ///< first version that no longer behaves so; empty: none known
  Effect effect = Effect::kUnknown;
  Json when = Json::object();  ///< fact -> value, or a list of values; all must match
  std::string reason;
  std::string fix;
  std::vector<LoaderSource> sources;
};

struct LoaderKnowledge {
  struct Engine {
    std::string name;
    std::string title;
    std::string latest_seen;
  };
  std::vector<Engine> engines;
  std::vector<LoaderRule> rules;
};

/// Reads and checks a knowledge base: every field, every engine's name, every version. Errors:
/// kCorrupt, naming the rule.
Result<LoaderKnowledge> parse_loader_knowledge(std::string_view text, const std::string& subject);

/// The one that is part of the program.
const LoaderKnowledge& loader_knowledge();

/// Whether all that a rule asks for holds.
bool rule_matches(const LoaderRule& rule, const Json& facts);

/// -1, 0 or 1: compares dotted versions number by number; "0.5.9" is below "0.5.10".
int compare_versions(std::string_view a, std::string_view b);

/// A row of the table: one engine, versions that behave alike.
struct LoaderRow {
  struct Statement {
    std::string rule;
    std::string reason;
    std::string fix;
    std::vector<LoaderSource> sources;
  };
  std::string engine;
  std::string title;
  std::string from;   ///< empty: all older ones
  std::string until;  ///< exclusive; empty: up to the latest that was seen
  std::string latest_seen;
  LoaderVerdict verdict = LoaderVerdict::kUnknown;
  std::vector<Statement> reasons;   ///< why it does not load, or what is not known
  std::vector<Statement> warnings;  ///< what is lost where it does load
};

/// The table for one checkpoint, engine by engine, old versions first.
std::vector<LoaderRow> loader_table(const LoaderKnowledge& knowledge, const Json& facts);

/// Only the rows of "vllm" or "vllm=0.32". Errors: kInvalidArgument (no such engine, no version).
Result<std::vector<LoaderRow>> filter_loaders(const std::vector<LoaderRow>& rows,
                                              const std::string& filter);

/// [{engine, from, until, verdict, reasons, warnings}, ...], and for people.
Json loaders_json(const std::vector<LoaderRow>& rows);
std::string loaders_text(const std::vector<LoaderRow>& rows);

}  // namespace nibble

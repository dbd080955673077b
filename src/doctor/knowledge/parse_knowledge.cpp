// Reading data/loaders.json.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/bundled_files.h"
#include "core/check.h"
#include "doctor/loaders.h"

namespace nibble {
namespace {

Error corrupt(const std::string& subject, const std::string& where, const std::string& what) {
  return Error(ErrorCode::kCorrupt, fmt::format("{}: {}", where, what), subject);
}

bool is_version(const std::string& text) {
  if (text.empty() || text.front() == '.' || text.back() == '.') return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c == '.' || std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
}

Result<std::string> text_field(const Json& object, const char* key, const std::string& where,
                               const std::string& subject) {
  const auto at = object.find(key);
  if (at == object.end()) return std::string();
  if (!at->is_string()) return corrupt(subject, where, fmt::format("{} is no text", key));
  return at->get<std::string>();
}

Result<std::string> version_field(const Json& object, const char* key, const std::string& where,
                                  const std::string& subject) {
  ASSIGN_OR_RETURN(std::string version, text_field(object, key, where, subject));
  if (!version.empty() && !is_version(version)) {
    return corrupt(subject, where, fmt::format("{} is \"{}\", no version", key, version));
  }
  return version;
}

Result<LoaderRule::Effect> effect_field(const Json& object, const std::string& where,
                                        const std::string& subject) {
  ASSIGN_OR_RETURN(const std::string name, text_field(object, "effect", where, subject));
  if (name == "loads") return LoaderRule::Effect::kLoads;
  if (name == "does_not") return LoaderRule::Effect::kDoesNot;
  if (name == "unknown") return LoaderRule::Effect::kUnknown;
  if (name == "warns") return LoaderRule::Effect::kWarns;
  return corrupt(
      subject, where,
      fmt::format("the effect is \"{}\"; expected loads, does_not, unknown or warns", name));
}

Status read_engines(const Json& object, const LoaderKnowledge& knowledge, const std::string& where,
                    const std::string& subject, LoaderRule& rule) {
  const auto at = object.find("engine");
  if (at == object.end()) return corrupt(subject, where, "names no engine");
  const Json list = at->is_array() ? *at : Json::array({*at});
  for (const Json& name : list) {
    bool known = false;
    for (const LoaderKnowledge::Engine& engine : knowledge.engines) {
      if (name != "*" && name != engine.name) continue;
      rule.engines.push_back(engine.name);
      known = true;
    }
    if (!known) {
      return corrupt(subject, where, fmt::format("{} is no engine", dump_json_line(name)));
    }
  }
  return {};
}

Status read_sources(const Json& object, const std::string& where, const std::string& subject,
                    LoaderRule& rule) {
  const auto at = object.find("sources");
  if (at == object.end() || !at->is_array() || at->empty()) {
    return corrupt(subject, where, "has no sources");
  }
  for (const Json& source : *at) {
    if (!source.is_object()) return corrupt(subject, where, "a source is no object");
    ASSIGN_OR_RETURN(std::string what, text_field(source, "what", where, subject));
    ASSIGN_OR_RETURN(std::string how, text_field(source, "how", where, subject));
    if (what.empty() || (how != "run" && how != "source" && how != "reported")) {
      return corrupt(subject, where, "a source needs \"what\", and \"how\": run, source, reported");
    }
    rule.sources.push_back({std::move(what), std::move(how)});
  }
  return {};
}

Result<LoaderRule> read_rule(const Json& object, const LoaderKnowledge& knowledge,
                             const std::string& subject) {
  if (!object.is_object()) return corrupt(subject, "rules", "holds something that is no object");
  LoaderRule rule;
  ASSIGN_OR_RETURN(rule.id, text_field(object, "id", "a rule", subject));
  if (rule.id.empty()) return corrupt(subject, "rules", "a rule has no id");
  const std::string where = "rule " + rule.id;
  for (const auto& [key, value] : object.items()) {
    constexpr std::string_view kKnown[] = {"id",   "engine", "from", "until",  "effect",
                                           "when", "reason", "fix",  "sources"};
    if (std::find(std::begin(kKnown), std::end(kKnown), key) == std::end(kKnown)) {
      return corrupt(subject, where, fmt::format("unknown key \"{}\"", key));
    }
  }
  RETURN_IF_ERROR(read_engines(object, knowledge, where, subject, rule));
  ASSIGN_OR_RETURN(rule.from, version_field(object, "from", where, subject));
  ASSIGN_OR_RETURN(rule.until, version_field(object, "until", where, subject));
  if (!rule.from.empty() && !rule.until.empty() && compare_versions(rule.from, rule.until) >= 0) {
    return corrupt(subject, where, "ends before it begins");
  }
  ASSIGN_OR_RETURN(rule.effect, effect_field(object, where, subject));
  ASSIGN_OR_RETURN(rule.reason, text_field(object, "reason", where, subject));
  ASSIGN_OR_RETURN(rule.fix, text_field(object, "fix", where, subject));
  if (rule.effect != LoaderRule::Effect::kLoads && rule.reason.empty()) {
    return corrupt(subject, where, "gives no reason");
  }
  const auto when = object.find("when");
  if (when == object.end() || !when->is_object()) {
    return corrupt(subject, where, "has no conditions (\"when\")");
  }
  rule.when = *when;
  RETURN_IF_ERROR(read_sources(object, where, subject, rule));
  return rule;
}

Status read_engine_list(const Json& json, const std::string& subject, LoaderKnowledge& knowledge) {
  const auto engines = json.find("engines");
  if (engines == json.end() || !engines->is_array()) {
    return corrupt(subject, "engines", "is no list");
  }
  for (const Json& object : *engines) {
    if (!object.is_object())
      return corrupt(subject, "engines", "holds something that is no object");
    LoaderKnowledge::Engine engine;
    ASSIGN_OR_RETURN(engine.name, text_field(object, "name", "engines", subject));
    ASSIGN_OR_RETURN(engine.title, text_field(object, "title", "engines", subject));
    ASSIGN_OR_RETURN(engine.latest_seen, version_field(object, "latest_seen", "engines", subject));
    if (engine.name.empty() || engine.title.empty() || engine.latest_seen.empty()) {
      return corrupt(subject, "engines", "an engine needs name, title and latest_seen");
    }
    knowledge.engines.push_back(std::move(engine));
  }
  return {};
}

}  // namespace

Result<LoaderKnowledge> parse_loader_knowledge(std::string_view text, const std::string& subject) {
  ASSIGN_OR_RETURN(const Json json, parse_json(text, subject));
  if (!json.is_object()) return corrupt(subject, "the file", "is no object");
  LoaderKnowledge knowledge;
  RETURN_IF_ERROR(read_engine_list(json, subject, knowledge));
  const auto rules = json.find("rules");
  if (rules == json.end() || !rules->is_array()) return corrupt(subject, "rules", "is no list");
  for (const Json& object : *rules) {
    ASSIGN_OR_RETURN(LoaderRule rule, read_rule(object, knowledge, subject));
    for (const LoaderRule& earlier : knowledge.rules) {
      if (earlier.id == rule.id) return corrupt(subject, "rule " + rule.id, "stands there twice");
    }
    knowledge.rules.push_back(std::move(rule));
  }
  return knowledge;
}

const LoaderKnowledge& loader_knowledge() {
  static const LoaderKnowledge knowledge = [] {
    constexpr const char* kPath = "data/loaders.json";
    for (const BundledFile& file : bundled_files()) {
      if (file.path != kPath) continue;
      Result<LoaderKnowledge> parsed = parse_loader_knowledge(file.content(), kPath);
      CHECK(parsed.has_value());  // a test reads the same file
      return std::move(parsed).value();
    }
    CHECK(false);
  }();
  return knowledge;
}

}  // namespace nibble

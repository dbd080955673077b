// From rules and facts to rows of versions that behave alike.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "doctor/loaders.h"

namespace nibble {
namespace {

int next_number(std::string_view& version) {
  const std::string_view part = version.substr(0, version.find('.'));
  int number = 0;
  std::from_chars(part.data(), part.data() + part.size(), number);
  version.remove_prefix(std::min(version.size(), part.size() + 1));
  return number;
}

bool covers(const LoaderRule& rule, const std::string& from) {
  const bool begun = rule.from.empty() || (!from.empty() && compare_versions(rule.from, from) <= 0);
  const bool ended =
      !rule.until.empty() && !from.empty() && compare_versions(rule.until, from) <= 0;
  return begun && !ended;
}

LoaderRow::Statement statement(const LoaderRule& rule) {
  return {rule.id, rule.reason, rule.fix, rule.sources};
}

// What the rules say of the versions from `row.from` on, until the next one at which a rule begins
// or ends.
void judge(const std::vector<const LoaderRule*>& rules, LoaderRow& row) {
  bool loads = false;
  bool fails = false;
  std::vector<LoaderRow::Statement> unknown;
  for (const LoaderRule* rule : rules) {
    if (!covers(*rule, row.from)) continue;
    switch (rule->effect) {
      case LoaderRule::Effect::kLoads:
        loads = true;
        break;
      case LoaderRule::Effect::kDoesNot:
        fails = true;
        row.reasons.push_back(statement(*rule));
        break;
      case LoaderRule::Effect::kUnknown:
        unknown.push_back(statement(*rule));
        break;
      case LoaderRule::Effect::kWarns:
        row.warnings.push_back(statement(*rule));
        break;
    }
  }
  if (fails) {
    row.verdict = LoaderVerdict::kDoesNot;
    row.warnings.clear();
  } else if (loads && unknown.empty()) {
    row.verdict = LoaderVerdict::kLoads;
  } else {
    row.reasons = unknown;
    if (unknown.empty())
      row.reasons.push_back({"", "nothing is recorded of such checkpoints", "", {}});
  }
}

bool same_statements(const std::vector<LoaderRow::Statement>& a,
                     const std::vector<LoaderRow::Statement>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return x.rule == y.rule; });
}

std::string versions_text(const LoaderRow& row) {
  if (row.from.empty() && row.until.empty()) return fmt::format("all to {}", row.latest_seen);
  if (row.from.empty()) return "before " + row.until;
  if (row.until.empty()) {
    return row.from == row.latest_seen ? row.from
                                       : fmt::format("{} to {}", row.from, row.latest_seen);
  }
  return fmt::format("{} until {}", row.from, row.until);
}

Json statements_json(const std::vector<LoaderRow::Statement>& statements) {
  Json json = Json::array();
  for (const LoaderRow::Statement& said : statements) {
    Json sources = Json::array();
    for (const LoaderSource& source : said.sources) {
      sources.push_back({{"what", source.what}, {"how", source.how}});
    }
    json.push_back({{"rule", said.rule},
                    {"reason", said.reason},
                    {"fix", said.fix},
                    {"sources", std::move(sources)}});
  }
  return json;
}

}  // namespace

std::string_view verdict_name(LoaderVerdict verdict) {
  switch (verdict) {
    case LoaderVerdict::kLoads:
      return "loads";
    case LoaderVerdict::kDoesNot:
      return "does not";
    case LoaderVerdict::kUnknown:
      return "unknown";
  }
  return "";
}

int compare_versions(std::string_view a, std::string_view b) {
  while (!a.empty() || !b.empty()) {
    const int left = next_number(a);
    const int right = next_number(b);
    if (left != right) return left < right ? -1 : 1;
  }
  return 0;
}

bool rule_matches(const LoaderRule& rule, const Json& facts) {
  for (const auto& [name, wanted] : rule.when.items()) {
    const auto fact = facts.find(name);
    if (fact == facts.end()) return false;
    const bool matches = wanted.is_array()
                             ? std::find(wanted.begin(), wanted.end(), *fact) != wanted.end()
                             : wanted == *fact;
    if (!matches) return false;
  }
  return true;
}

std::vector<LoaderRow> loader_table(const LoaderKnowledge& knowledge, const Json& facts) {
  std::vector<LoaderRow> table;
  for (const LoaderKnowledge::Engine& engine : knowledge.engines) {
    std::vector<const LoaderRule*> rules;
    std::vector<std::string> starts = {""};
    for (const LoaderRule& rule : knowledge.rules) {
      const bool names_it =
          std::find(rule.engines.begin(), rule.engines.end(), engine.name) != rule.engines.end();
      if (!names_it || !rule_matches(rule, facts)) continue;
      rules.push_back(&rule);
      for (const std::string& version : {rule.from, rule.until}) starts.push_back(version);
    }
    std::sort(starts.begin(), starts.end(), [](const std::string& a, const std::string& b) {
      return a.empty() || b.empty() ? a.empty() && !b.empty() : compare_versions(a, b) < 0;
    });
    starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
    for (const std::string& start : starts) {
      LoaderRow row;
      row.engine = engine.name;
      row.title = engine.title;
      row.latest_seen = engine.latest_seen;
      row.from = start;
      judge(rules, row);
      const bool continues = !start.empty() && row.verdict == table.back().verdict &&
                             same_statements(row.reasons, table.back().reasons) &&
                             same_statements(row.warnings, table.back().warnings);
      if (continues) continue;
      if (!start.empty()) table.back().until = start;
      table.push_back(std::move(row));
    }
  }
  return table;
}

Result<std::vector<LoaderRow>> filter_loaders(const std::vector<LoaderRow>& rows,
                                              const std::string& filter) {
  const size_t equals = filter.find('=');
  const std::string engine = filter.substr(0, equals);
  const std::string version = equals == std::string::npos ? "" : filter.substr(equals + 1);
  const bool is_number = version.find_first_not_of("0123456789.") == std::string::npos;
  if ((equals != std::string::npos && version.empty()) || !is_number) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("\"{}\" names no version; expected for example vllm=0.32", filter));
  }
  std::vector<LoaderRow> kept;
  std::string names;
  for (const LoaderRow& row : rows) {
    if (names.find(row.engine) == std::string::npos)
      names += (names.empty() ? "" : ", ") + row.engine;
    if (row.engine != engine) continue;
    const bool begun = row.from.empty() || compare_versions(row.from, version) <= 0;
    const bool ended = !row.until.empty() && compare_versions(row.until, version) <= 0;
    if (version.empty() || (begun && !ended)) kept.push_back(row);
  }
  if (kept.empty()) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("\"{}\" is no loader; known are {}", engine, names));
  }
  return kept;
}

Json loaders_json(const std::vector<LoaderRow>& rows) {
  Json json = Json::array();
  for (const LoaderRow& row : rows) {
    json.push_back({{"engine", row.engine},
                    {"from", row.from.empty() ? Json(nullptr) : Json(row.from)},
                    {"until", row.until.empty() ? Json(nullptr) : Json(row.until)},
                    {"latest_seen", row.latest_seen},
                    {"verdict", verdict_name(row.verdict)},
                    {"reasons", statements_json(row.reasons)},
                    {"warnings", statements_json(row.warnings)}});
  }
  return json;
}

std::string loaders_text(const std::vector<LoaderRow>& rows) {
  std::string text = fmt::format("{:<13} {:<18} {}\n", "loader", "versions", "this checkpoint");
  for (const LoaderRow& row : rows) {
    text +=
        fmt::format("{:<13} {:<18} {}\n", row.title, versions_text(row), verdict_name(row.verdict));
    for (const auto* said : {&row.reasons, &row.warnings}) {
      for (const LoaderRow::Statement& one : *said) {
        text += fmt::format("{:33}{}{}\n", "", said == &row.warnings ? "but " : "", one.reason);
        if (!one.fix.empty()) text += fmt::format("{:33}to do: {}\n", "", one.fix);
      }
    }
  }
  return text;
}

}  // namespace nibble

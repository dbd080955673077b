// `nibble verify`: reopens an export and proves it, alone or against its source, and says which
// programs load it.
#include <fmt/format.h>

#include <algorithm>

#include "cli/commands/make_commands.h"
#include "cli/exit_code.h"
#include "cli/model_source.h"
#include "doctor/diagnose.h"
#include "doctor/loaders.h"
#include "quantize/verify.h"

namespace nibble {
namespace {

/// Problems of the structure become problems of the report, once each.
void merge_problems(const Diagnosis& diagnosis, VerifyReport& report) {
  for (const Finding& finding : diagnosis.findings) {
    if (finding.severity != Severity::kProblem) continue;
    const bool known = std::any_of(
        report.problems.begin(), report.problems.end(), [&](const VerifyProblem& problem) {
          return problem.code == finding.code && problem.subject == finding.subject;
        });
    if (known) continue;
    report.problems.push_back({finding.code, finding.subject, finding.message, finding.fix});
  }
}

std::vector<Finding> of_severity(const Diagnosis& diagnosis, Severity severity) {
  std::vector<Finding> kept;
  for (const Finding& finding : diagnosis.findings) {
    if (finding.severity == severity) kept.push_back(finding);
  }
  return kept;
}

std::string remarks_text(const Diagnosis& diagnosis) {
  constexpr size_t kMaxShown = 20;
  std::string text;
  for (const Severity severity : {Severity::kWarning, Severity::kNote}) {
    const std::vector<Finding> found = of_severity(diagnosis, severity);
    for (size_t i = 0; i < std::min(found.size(), kMaxShown); ++i) {
      text += fmt::format("  {} {}: {}\n    {}\n    to do: {}\n", severity_name(severity),
                          found[i].code, found[i].subject, found[i].message, found[i].fix);
    }
    if (found.size() > kMaxShown) {
      text += fmt::format("  and {} more of them\n", found.size() - kMaxShown);
    }
  }
  return text;
}

class VerifyCommand : public Command {
 public:
  void declare(ArgumentParser& parser) override {
    parser.positional("DST", folder_, "Folder or GGUF file to look at");
    parser.option("--source", source_, "The checkpoint it was made from", "SRC");
    parser.option("--loader", loader_,
                  "Only this program in the table of loaders (vllm, sglang, tensorrt-llm, "
                  "transformers, llama.cpp), and exit code 6 where it does not load",
                  "NAME[=VERSION]");
  }

  Result<int> run(Console& console, const GeneralOptions& general) override {
    RETURN_IF_ERROR(check_model_folder(folder_));
    if (source_) RETURN_IF_ERROR(check_model_folder(*source_));
    if (loader_) RETURN_IF_ERROR(filter_loaders(loader_table(loader_knowledge(), {}), *loader_));
    ASSIGN_OR_RETURN(VerifyReport report,
                     verify_checkpoint(folder_, source_, general.n_threads, console.progress()));
    Diagnosis diagnosis;
    if (Result<Diagnosis> made = diagnose_checkpoint(folder_)) diagnosis = std::move(made).value();
    merge_problems(diagnosis, report);
    std::vector<LoaderRow> rows = loader_table(loader_knowledge(), diagnosis.facts);
    if (loader_) {
      ASSIGN_OR_RETURN(rows, filter_loaders(rows, *loader_));
    }
    Json json = verify_json(report);
    json["warnings"] = findings_json(of_severity(diagnosis, Severity::kWarning));
    json["notes"] = findings_json(of_severity(diagnosis, Severity::kNote));
    json["facts"] = diagnosis.facts;
    json["loaders"] = loaders_json(rows);
    console.print_json(json);
    console.print(verify_text(report) + remarks_text(diagnosis) + "\n" + loaders_text(rows));
    const bool refused = loader_ && std::any_of(rows.begin(), rows.end(), [](const auto& row) {
                           return row.verdict == LoaderVerdict::kDoesNot && row.until.empty();
                         });
    return static_cast<int>(report.ok() && !refused ? ExitCode::kOk
                                                    : ExitCode::kVerificationFailed);
  }

 private:
  std::string folder_;
  std::optional<std::string> source_;
  std::optional<std::string> loader_;
};

}  // namespace

std::unique_ptr<Command> make_verify_command() { return std::make_unique<VerifyCommand>(); }

}  // namespace nibble

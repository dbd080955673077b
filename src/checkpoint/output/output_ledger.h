// What was written of an output, tensor by tensor, with hashes: kept in the journal while the work
// goes on, and stated in the manifest when it is done.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "checkpoint/output/output_plan.h"
#include "checkpoint/output/target_folder.h"
#include "core/content_hash.h"
#include "core/json.h"
#include "core/result.h"

namespace nibble {

/// Follows the writing of a plan. Not thread safe.
class OutputLedger {
 public:
  /// Nothing written yet.
  explicit OutputLedger(const OutputPlan& plan) : plan_(&plan) {}

  /// Reads what the journal of a resumed folder says was written, reads all of that back, and keeps
  /// the tensors up to the first whose bytes are not what was written; the journal is cut there.
  /// Cost: one pass over what was written. Errors: kIo, kCancelled.
  Status take_over(TargetFolder& target);

  /// Complete tensors of the plan.
  size_t n_complete() const { return finished_.size(); }
  std::span<const FinishedTensor> finished() const { return finished_; }

  /// What the tensor at hand will carry in the journal.
  void annotate(TensorNote note) { note_ = std::move(note); }
  /// Counts bytes of the part at hand.
  void add_bytes(std::span<const std::byte> bytes) { hasher_.update(bytes); }
  /// The part at hand is whole.
  void end_part();
  /// The tensor at hand is whole and in the file: puts it in the journal, if there is one.
  Status end_tensor(Journal* journal);

  /// The text of nibble-manifest.json.
  ///   command  what the output was made with; the same for every machine
  std::string manifest_text(const Json& command) const;

 private:
  const OutputPlan* plan_;
  std::vector<FinishedTensor> finished_;
  TensorNote note_;
  ContentHasher hasher_;
  std::vector<std::string> part_hashes_;
};

}  // namespace nibble

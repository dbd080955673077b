// The tensors that config.json announces: of the text model, the vision tower and the MTP layer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "doctor/survey/folder_survey.h"

namespace nibble {

/// Whether a part of the model is stored as config.json announces it.
enum class PartState : uint8_t {
  kNotAnnounced,
  kComplete,
  kIncomplete,  ///< some tensors are absent
  kMissing,     ///< all are
};

struct AnnouncedPart {
  PartState state = PartState::kNotAnnounced;
  std::vector<std::string> missing;  ///< canonical names
};

/// Parts of a folder whose config.json is understood (survey.model); otherwise kNotAnnounced.
AnnouncedPart text_part(const FolderSurvey& survey);
AnnouncedPart vision_part(const FolderSurvey& survey);
AnnouncedPart mtp_part(const FolderSurvey& survey);

/// The name of a state in facts: "not announced", "complete", "incomplete", "missing".
const char* part_state_name(PartState state);

}  // namespace nibble

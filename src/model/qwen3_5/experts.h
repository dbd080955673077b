// The layer of experts that stands in the place of the MLP in mixture-of-experts models.
#pragma once

#include "model/qwen3_5/pass.h"
#include "model/qwen3_5/scratch.h"
#include "model/qwen3_5/weights.h"

namespace nibble::qwen3_5 {

/// Adds to the residual stream s.x what the experts make of s.h.
void experts(const Pass& pass, const ExpertWeights& w, const Scratch& s, size_t layer);

}  // namespace nibble::qwen3_5

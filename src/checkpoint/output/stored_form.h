// How a tensor of a source stands in a folder: under which name, as which elements, and its bytes.
#pragma once

#include <optional>
#include <string>

#include "checkpoint/checkpoint.h"
#include "checkpoint/output/arranged_matrix.h"
#include "checkpoint/output/element_encoder.h"
#include "checkpoint/writer.h"
#include "core/json.h"
#include "core/result.h"

namespace nibble {

/// The static activation scale that a source keeps with a quantized matrix.
std::optional<float> stored_input_scale(const Checkpoint& source, const TensorInfo& tensor);

/// A tensor as a folder names it and, where it is plain there, stores it.
struct StoredForm {
  std::string name;
  DType dtype = DType::kBF16;
  Shape shape;
};

/// The form of a tensor whose source is a folder is that of the source, but for what is decoded,
/// which becomes BF16. What comes from a GGUF file gets the names of a text model's folder; small
/// F32 tensors become BF16 where no value changes.
/// Errors: kUnsupported (blocks of GGUF that no folder holds, unless decoded), kIo.
Result<StoredForm> stored_form(const Checkpoint& source, const PlannedTensor& planned);

/// Whether stored elements follow from the source's by decoding, rounding or another order.
bool is_converted(const Checkpoint& source, const PlannedTensor& planned);

/// The source's heads and those of a folder.
Result<HeadArrangement> folder_arrangement(const Checkpoint& source);

/// The elements of a converted plain tensor, in pieces. Errors: those of arrange_matrix and of the
/// sink.
Status write_converted(const Checkpoint& source, const PlannedTensor& planned,
                       const StoredForm& form, const ByteSink& sink);

/// The config of a folder made from the source: where that is a GGUF file, the config of a text
/// model with grouped value heads; otherwise the source's.
Json folder_config(const Checkpoint& source);

}  // namespace nibble

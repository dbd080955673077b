// The shards of a folder as the owner of a checkpoint's bytes.
#pragma once

#include <vector>

#include "checkpoint/dialects/dialect.h"
#include "checkpoint/storage/stored_folder.h"
#include "checkpoint/storage/tensor_store.h"

namespace nibble {

/// Takes over the folder and what a dialect read in it.
OpenedCheckpoint open_folder_store(StoredFolder folder, std::string_view dialect,
                                   std::vector<CanonicalTensor> tensors);

}  // namespace nibble

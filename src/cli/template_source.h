// The chat template of a folder whose weights are not opened, and variables set by hand.
#pragma once

#include <optional>
#include <string>

#include "chat/chat_template.h"
#include "core/json.h"
#include "core/result.h"

namespace nibble {

/// Reads `template_file` if given, else the folder's chat_template.jinja, else "chat_template" of
/// its tokenizer_config.json; of a GGUF file the same from its metadata. Errors: kNotFound (the
/// model has none), kInvalidArgument (no such template_file), kCorrupt, those of
/// ChatTemplate::create.
Result<ChatTemplate> load_chat_template(const std::string& folder,
                                        const std::optional<std::string>& template_file);

/// Puts "key=value" into `variables`. The value is JSON, or text where it is not JSON.
/// Errors: kInvalidArgument (no key, or no "=").
Status apply_setting(const std::string& setting, Json& variables);

}  // namespace nibble

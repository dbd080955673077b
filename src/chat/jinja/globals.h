// The functions that every template can call.
#pragma once

#include <optional>
#include <string_view>

#include "chat/jinja/runtime.h"
#include "chat/jinja/value.h"

namespace nibble::jinja {

/// range, dict, namespace, cycler, joiner, raise_exception, strftime_now or lipsum; nothing for
/// other names.
std::optional<Value> find_global(Runtime& runtime, std::string_view name);

/// Refuses the names that a namespace may not hold.
void check_namespace_name(std::string_view name);

}  // namespace nibble::jinja

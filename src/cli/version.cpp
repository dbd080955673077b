#include "cli/version.h"

namespace nibble {

const char* const kVersion = NIBBLE_VERSION;

}  // namespace nibble

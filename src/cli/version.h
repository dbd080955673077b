// The program's version; CMake's project() states the number.
#pragma once

namespace nibble {

extern const char* const kVersion;

}  // namespace nibble

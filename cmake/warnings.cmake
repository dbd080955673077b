# The warnings that are errors in every room.
add_library(nibble_warnings INTERFACE)
target_compile_options(nibble_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                       -Wold-style-cast -Wcast-qual -Woverloaded-virtual -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12 reports these inside inlined code of its own standard library, where nothing is wrong; the
  # sanitizers watch for the real ones.
  target_compile_options(nibble_warnings INTERFACE -Wno-stringop-overread -Wno-stringop-overflow
                         -Wno-array-bounds -Wno-restrict -Wno-maybe-uninitialized)
  # In a batch of sources gcc takes each of them for a header and its local types for shared ones.
  target_compile_options(nibble_warnings INTERFACE -Wno-subobject-linkage)
endif()
option(WARNINGS_AS_ERRORS "Stop at the first warning" ON)
if(WARNINGS_AS_ERRORS)
  target_compile_options(nibble_warnings INTERFACE -Werror)
endif()

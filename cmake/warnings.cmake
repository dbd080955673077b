# The warnings that are errors in every room.
add_library(nibble_warnings INTERFACE)
target_compile_options(nibble_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                       -Wold-style-cast -Wcast-qual -Woverloaded-virtual -Wno-missing-field-initializers)
option(WARNINGS_AS_ERRORS "Stop at the first warning" ON)
if(WARNINGS_AS_ERRORS)
  target_compile_options(nibble_warnings INTERFACE -Werror)
endif()

# bundle_files(room FILES path...): the bytes of these files become part of the program, so that it
# runs without the source tree. src/core/bundled_files.h finds them by their path from the root.

enable_language(ASM)

function(bundle_files room)
  cmake_parse_arguments(BUNDLE "" "" "FILES" ${ARGN})
  set(assembly "")
  set(declarations "")
  set(rows "")
  set(index 0)
  set(sources "")
  foreach(file ${BUNDLE_FILES})
    set(symbol nibble_bundled_${index})
    string(APPEND assembly ".global ${symbol}_begin\n${symbol}_begin:\n"
                           ".incbin \"${CMAKE_SOURCE_DIR}/${file}\"\n"
                           ".global ${symbol}_end\n${symbol}_end:\n.byte 0\n")
    string(APPEND declarations "extern const char ${symbol}_begin[];\n"
                               "extern const char ${symbol}_end[];\n")
    string(APPEND rows "    {\"${file}\", ${symbol}_begin, ${symbol}_end},\n")
    list(APPEND sources ${CMAKE_SOURCE_DIR}/${file})
    math(EXPR index "${index} + 1")
  endforeach()
  set(folder ${CMAKE_BINARY_DIR}/bundle)
  file(CONFIGURE OUTPUT ${folder}/bundle.S @ONLY CONTENT
       ".section .rodata\n@assembly@.section .note.GNU-stack,\"\",%progbits\n")
  file(CONFIGURE OUTPUT ${folder}/bundle.cpp @ONLY CONTENT
"#include \"core/bundled_files.h\"

extern \"C\" {
@declarations@}

namespace nibble {
std::span<const BundledFile> bundled_files() {
  static const BundledFile files[] = {
@rows@  };
  return files;
}
}  // namespace nibble
")
  set_source_files_properties(${folder}/bundle.S PROPERTIES OBJECT_DEPENDS "${sources}")
  add_library(nibble_bundle STATIC ${folder}/bundle.S ${folder}/bundle.cpp)
  target_link_libraries(nibble_bundle PRIVATE nibble_core)
  target_link_libraries(nibble_${room} PUBLIC nibble_bundle)
endfunction()

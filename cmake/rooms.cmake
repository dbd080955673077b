# add_room(name [DEPENDS room...] [LIBRARIES target...]): one folder of src/ as a static library, its
# x_test.cpp files as one test program. Sources are found by pattern, never listed. A source named
# *_<isa>.cpp is compiled for that instruction set.

set(NIBBLE_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(NIBBLE_ISA_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mbmi2
                            -mprefer-vector-width=512)

# Sets the flags that a source's suffix asks for, and drops it where the processor family differs.
function(nibble_apply_isa sources_variable)
  set(kept)
  foreach(source ${${sources_variable}})
    if(source MATCHES "_(avx2|avx512)\\.cpp$")
      set(isa ${CMAKE_MATCH_1}) # the next MATCHES overwrites it
      if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
                                    "${NIBBLE_ISA_FLAGS_${isa}}" SKIP_PRECOMPILE_HEADERS ON)
        list(APPEND kept ${source})
      endif()
    else()
      list(APPEND kept ${source})
    endif()
  endforeach()
  set(${sources_variable} ${kept} PARENT_SCOPE)
endfunction()

# The headers that take most of the compile time are precompiled once for all rooms and once for all
# tests; the first target of each kind makes them.
set(NIBBLE_COSTLY_HEADERS <algorithm> <functional> <map> <memory> <optional> <string> <variant>
                          <vector> <fmt/format.h> <nlohmann/json.hpp>)
function(nibble_precompile target kind)
  get_property(owner GLOBAL PROPERTY NIBBLE_PRECOMPILED_${kind})
  if(owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  else()
    target_precompile_headers(${target} PRIVATE ${NIBBLE_COSTLY_HEADERS} ${ARGN})
    set_property(GLOBAL PROPERTY NIBBLE_PRECOMPILED_${kind} ${target})
  endif()
endfunction()

# Unity builds (several sources in one compilation, as the presets for whole builds ask) leave these
# sources alone: rows of registries, which use the same names on purpose, and files that repeat a
# local constant's name.
set(NIBBLE_KEPT_APART
    "/dialects/" "_(filters|methods)\\.cpp$"
    "/(cpu_experts|examine_model|folder_survey|fp8|magnitude|matrix_error|pattern_reader)\\.cpp$"
    "/(patterns|read_ahead|stored_values_check)\\.cpp$")
function(nibble_keep_apart sources)
  foreach(pattern ${NIBBLE_KEPT_APART})
    set(apart ${sources})
    list(FILTER apart INCLUDE REGEX ${pattern})
    if(apart)
      set_source_files_properties(${apart} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
endfunction()

function(add_room name)
  cmake_parse_arguments(ROOM "" "" "DEPENDS;LIBRARIES" ${ARGN})
  set(folder ${CMAKE_SOURCE_DIR}/src/${name})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  nibble_apply_isa(sources)
  nibble_keep_apart("${sources}")

  set(depends ${ROOM_DEPENDS})
  if(NOT name STREQUAL "core")
    list(APPEND depends core)
  endif()
  list(TRANSFORM depends PREPEND nibble_)
  if(sources)
    add_library(nibble_${name} STATIC ${sources})
    target_include_directories(nibble_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(nibble_${name} PUBLIC ${depends} ${ROOM_LIBRARIES}
                          PRIVATE nibble_warnings)
    nibble_precompile(nibble_${name} rooms)
  else()
    add_library(nibble_${name} INTERFACE)
    target_include_directories(nibble_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(nibble_${name} INTERFACE ${depends} ${ROOM_LIBRARIES})
  endif()

  if(TESTS AND tests)
    add_test_program(${name}_test nibble_${name} ${tests})
  endif()
endfunction()

# A GoogleTest program registered with CTest as one test; tests find their data by NIBBLE_SOURCE_DIR.
function(add_test_program name room)
  add_executable(${name} ${ARGN} ${CMAKE_SOURCE_DIR}/tests/test_main.cpp)
  target_link_libraries(${name} PRIVATE ${room} GTest::gtest GTest::gmock nibble_warnings)
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  target_compile_definitions(${name} PRIVATE NIBBLE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  nibble_precompile(${name} tests <gmock/gmock.h> <gtest/gtest.h>)
  add_test(NAME ${name} COMMAND ${name})
endfunction()

# The program itself, linked so that it can be copied to another machine of the same system.
function(add_program name main room)
  if(NOT EXISTS ${CMAKE_SOURCE_DIR}/${main})
    return()
  endif()
  add_executable(${name} ${main})
  target_link_libraries(${name} PRIVATE nibble_${room} nibble_warnings)
  target_link_options(${name} PRIVATE -static-libstdc++ -static-libgcc)
endfunction()

# tests/trips: tests that run the built program from the outside.
function(add_trip_tests program)
  if(NOT TARGET ${program})
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/trips/*.cpp)
  add_test_program(trips_test nibble_cli ${sources})
  target_compile_definitions(trips_test PRIVATE NIBBLE_PROGRAM="$<TARGET_FILE:${program}>")
  add_dependencies(trips_test ${program})
endfunction()

# find_static_library(NAME module): the pkg-config module as the target static::NAME, archives
# preferred over shared objects, so that the program can be copied to a machine without them.
function(find_static_library name module)
  pkg_check_modules(${name} REQUIRED ${module})
  set(archives)
  foreach(library ${${name}_STATIC_LIBRARIES})
    find_library(${name}_${library}_PATH NAMES lib${library}.a ${library} REQUIRED
                 HINTS ${${name}_STATIC_LIBRARY_DIRS})
    list(APPEND archives ${${name}_${library}_PATH})
  endforeach()
  add_library(static_${name} INTERFACE)
  target_link_libraries(static_${name} INTERFACE ${archives})
  target_include_directories(static_${name} SYSTEM INTERFACE ${${name}_INCLUDE_DIRS})
  add_library(static::${name} ALIAS static_${name})
endfunction()

# portunus_folder(<name> [LINKS <target>...] [EXCLUDE <file>...])
#
# Makes the static library portunus_<name> of all sources in the current folder.  A folder without sources gives an
# interface library, so that the tree configures at any time.  LINKS is the folder's line in the include graph of
# DESIGN.md plus its third-party libraries; tests/tidy checks the includes themselves.
function(portunus_folder name)
  cmake_parse_arguments(arg "" "" "LINKS;EXCLUDE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cc")
  foreach(file IN LISTS arg_EXCLUDE)
    list(REMOVE_ITEM sources "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
  endforeach()
  if(sources)
    add_library(portunus_${name} STATIC ${sources})
    target_link_libraries(portunus_${name} PUBLIC portunus_options ${arg_LINKS})
    add_dependencies(portunus_${name} portunus_version)
  else()
    add_library(portunus_${name} INTERFACE)
    target_link_libraries(portunus_${name} INTERFACE portunus_options ${arg_LINKS})
  endif()
endfunction()

# Finds llhttp and defines Llhttp::llhttp.  The version is read from the header, since the packages differ in what else
# they carry.  The static library is taken when it is there: the parser is called for each read, and the program then
# needs no package of a newer distribution where it runs.
find_path(Llhttp_INCLUDE_DIR llhttp.h)
find_library(Llhttp_LIBRARY NAMES libllhttp.a llhttp)
if(Llhttp_INCLUDE_DIR)
  file(STRINGS "${Llhttp_INCLUDE_DIR}/llhttp.h" Llhttp_lines REGEX "^#define LLHTTP_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
  string(REGEX REPLACE "[^0-9;]" "" Llhttp_numbers "${Llhttp_lines}")
  list(JOIN Llhttp_numbers "." Llhttp_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Llhttp REQUIRED_VARS Llhttp_LIBRARY Llhttp_INCLUDE_DIR VERSION_VAR Llhttp_VERSION)

if(Llhttp_FOUND AND NOT TARGET Llhttp::llhttp)
  add_library(Llhttp::llhttp UNKNOWN IMPORTED)
  set_target_properties(Llhttp::llhttp PROPERTIES IMPORTED_LOCATION "${Llhttp_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${Llhttp_INCLUDE_DIR}")
endif()

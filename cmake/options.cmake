# portunus_options: the flags of every target of ours, and the include root.
add_library(portunus_options INTERFACE)
target_include_directories(portunus_options INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_options(portunus_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wimplicit-fallthrough -Wnon-virtual-dtor -Wold-style-cast
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wsuggest-override>
  $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wsuggest-override>
  $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-fconstexpr-steps=50000000>  # g++ allows that many: tables made at compile time
  $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wno-bitwise-instead-of-logical>  # a & b where both have to run
  $<$<BOOL:${PORTUNUS_WERROR}>:-Werror>)

# g++ 12 sees such faults in inlined std::string and std::vector where there are none: shown, but no end of a build.
if(PORTUNUS_WERROR AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(portunus_options INTERFACE
    -Wno-error=array-bounds -Wno-error=restrict -Wno-error=stringop-overflow -Wno-error=stringop-overread
    -Wno-error=maybe-uninitialized)
endif()

set(CMAKE_C_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
if(PORTUNUS_SANITIZE)  # line tables are enough for a sanitizer's report, and half the build
  set(CMAKE_C_FLAGS_DEBUG "-O1 -g1")
  set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
else()
  set(CMAKE_C_FLAGS_DEBUG "-Og -g")
  set(CMAKE_CXX_FLAGS_DEBUG "-Og -g")
endif()

# Hardening that costs nothing measurable.  Fortify needs optimisation and does not mix with the sanitizers.
target_compile_options(portunus_options INTERFACE -fPIE -fno-plt -fstack-protector-strong)
target_link_options(portunus_options INTERFACE -pie -Wl,-z,relro,-z,now -Wl,--as-needed)
if(NOT PORTUNUS_SANITIZE)
  target_compile_options(portunus_options INTERFACE
    $<$<CONFIG:Release>:-U_FORTIFY_SOURCE> $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
endif()

# Fat objects: programs under test link the same libraries without waiting for link-time optimisation.
if(PORTUNUS_LTO)
  target_compile_options(portunus_options INTERFACE -flto=auto -ffat-lto-objects)
endif()

# A program that is shipped or measured.
function(portunus_optimise_program target)
  if(PORTUNUS_LTO)
    target_link_options(${target} PRIVATE -flto=auto -fuse-linker-plugin -O2)
  endif()
endfunction()

# A program whose link time matters more than its speed.
function(portunus_quick_link program)
  if(PORTUNUS_LTO)
    target_link_options(${program} PRIVATE -fno-lto)
  endif()
endfunction()

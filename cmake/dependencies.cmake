# Third-party libraries, as the distribution packages them.  `./dev build` installs what is missing.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv>=1.44)
find_package(Llhttp 9.2.1 REQUIRED)  # older ones have request-smuggling bugs
find_package(spdlog 1.10 REQUIRED)
find_package(fmt REQUIRED)
find_package(yaml-cpp 0.7 REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(CLI11 2.1 REQUIRED)

add_library(portunus_yaml INTERFACE)
if(TARGET yaml-cpp::yaml-cpp)
  target_link_libraries(portunus_yaml INTERFACE yaml-cpp::yaml-cpp)
else()
  target_link_libraries(portunus_yaml INTERFACE yaml-cpp)
endif()

# Third-party libraries, as the distribution packages them.  `./dev build` installs what is missing.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv>=1.44)
find_package(OpenSSL 3.0 REQUIRED)
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET libnghttp2>=1.52)
find_package(Llhttp 9.2.1 REQUIRED)  # older ones have request-smuggling bugs
find_package(spdlog 1.10 REQUIRED)
find_package(fmt REQUIRED)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1>=0.2.5)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(CLI11 2.1 REQUIRED)

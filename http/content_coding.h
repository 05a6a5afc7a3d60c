// Which content coding a client takes: Accept-Encoding (RFC 9110 section 12.5.3) against what we can
// make. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "http/header_block.h"

namespace portunus::http {

enum class ContentCoding : std::uint8_t { gzip, br, zstd };  // RFC 1952, RFC 7932, RFC 8878
inline constexpr std::size_t kContentCodingCount = 3;

[[nodiscard]] std::string_view name_of(ContentCoding coding);  // as in Content-Encoding

// The one with the highest weight; among equals the first of `preferred`. None when the client takes
// none of them or rather has the bytes as they are. No field at all means none: the RFC would allow
// any, but who says nothing seldom decodes. What is outside the grammar is passed over.
[[nodiscard]] std::optional<ContentCoding> choose_coding(const HeaderBlock& request,
                                                         std::span<const ContentCoding> preferred);

}  // namespace portunus::http

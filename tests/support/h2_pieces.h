// What a fuzzer has made up, as bytes or frames of HTTP/2: type, flags, stream, size, payload. Types from
// 0xf0 on are the target's own, which are likely to be right. Header only: for the fuzz targets.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/h2_client.h"

namespace portunus::test {

using H2SpecialFrame = std::string (*)(std::uint8_t type,
                                       std::uint8_t flags,
                                       std::uint32_t id,
                                       const std::string& payload);

inline std::vector<std::string> h2_frames_of(std::string_view text, H2SpecialFrame special) {
  std::vector<std::string> frames;
  while (text.size() >= 4 && frames.size() < 200) {
    const auto type = static_cast<std::uint8_t>(text[0]);
    const auto flags = static_cast<std::uint8_t>(text[1]);
    const auto id = static_cast<std::uint32_t>(static_cast<unsigned char>(text[2]) & 31U);
    std::size_t size = static_cast<unsigned char>(text[3]);
    text.remove_prefix(4);
    size = std::min(size, text.size());
    const std::string payload(text.substr(0, size));
    text.remove_prefix(size);
    std::string frame;
    if (type == 0xf3) {
      frame = h2_window(id, flags);
    } else if (type >= 0xf0) {
      frame = special(type, flags, id, payload);
    }
    frames.push_back(frame.empty() ? h2_frame(type % 18, flags, id, payload) : frame);
  }
  return frames;
}

// Behind the beginning of a connection, which is the one piece so far.
inline void h2_add_pieces(std::string_view text,
                          std::uint8_t how,
                          H2SpecialFrame special,
                          std::vector<std::string>& pieces) {
  if ((how & 1) != 0) {
    pieces.emplace_back(text);
    return;
  }
  const std::vector<std::string> frames = h2_frames_of(text, special);
  if ((how & 2) == 0) {
    pieces.insert(pieces.end(), frames.begin(), frames.end());
    return;
  }
  for (const std::string& frame : frames)
    pieces.back() += frame;  // all at once
}

}  // namespace portunus::test

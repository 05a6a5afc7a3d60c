// One message being received: its arena, its head, its trailers and the parser's state. Taken from
// the thread's slab with the first byte of a message and given back when the exchange is over, so
// that an idle connection holds none. One thread.
#pragma once

#include "base/arena.h"
#include "http/h1_parser.h"
#include "http/message.h"

namespace portunus::http {

struct Inbound {
  explicit Inbound(base::ChunkPool& chunks) : arena(chunks), stash(chunks) {}

  base::Arena arena;
  Head head;
  H1Parser parser;
  base::ChunkQueue stash;  // bytes behind the message, kept until its exchange is over
};

}  // namespace portunus::http

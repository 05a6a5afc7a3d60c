// What the HTTP/2 connections of a thread share, to clients and to members: their memory, their limits,
// and what they have told nghttp2 once. Outlives them; one thread.
#pragma once

#include "base/slab.h"
#include "http/h2_client.h"
#include "http/h2_client_stream.h"
#include "http/h2_limits.h"
#include "http/h2_memory.h"
#include "http/h2_session.h"
#include "http/h2_stream.h"

struct nghttp2_option;
struct nghttp2_session_callbacks;

namespace portunus::http {

struct H2Shared {
  H2Shared();
  ~H2Shared();
  H2Shared(const H2Shared&) = delete;
  H2Shared& operator=(const H2Shared&) = delete;

  H2Memory memory;  // first: what follows has it from here
  H2Limits limits;
  base::Slab<H2Session, 8> sessions;
  base::Slab<H2Stream> streams;
  base::Slab<H2Client, 8> clients;
  base::Slab<H2ClientStream> client_streams;
  nghttp2_option* options = nullptr;
  nghttp2_session_callbacks* callbacks = nullptr;         // of a server
  nghttp2_session_callbacks* client_callbacks = nullptr;  // of a client
};

}  // namespace portunus::http

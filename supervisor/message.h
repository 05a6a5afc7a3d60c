// What supervisor and proxy tell each other over the Channel: one JSON object a packet. Both are
// processes of this program, and possibly of two versions of it during an upgrade: unknown keys are
// ignored, unknown kinds dropped by the receiver. A proxy is exposed to the world and may have been
// taken over: nothing that it says makes the supervisor run, bind or read anything but what the
// configuration names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace portunus::supervisor {

enum class Kind : std::uint8_t {
  // To the proxy.
  reload,       // text: who asked
  reopen_logs,  //
  stop,         // graceful, as by SIGTERM; said again: at once. text: why
  dump,         // state to the log, then the end
  retire,       // another proxy has taken over: drain without announcing
  sockets,      // opened for `prepare`: addresses; the descriptors ride along
  prepared,     // answer to `prepare`, after the sockets: is_good, text: why not
  settled,      // answer to `applied`: sockets that are no longer wanted are closed here, too
  members,  // replicas of services, all of them; text: hash of the configuration known here. The
            // first one brings what was remembered, as a descriptor
  services_view,  // how they are, for people: text (service_view.h); count: which part; is_good: the last
  ordered,        // answer to `order`: id, count: OrderResult (service_order.h), text: why
  count_requests,  // of a service: `requests` is the answer
  // To the supervisor.
  ready,      // text: for the service manager
  reloading,  //
  stopping,   //
  alive,      // every data-plane thread has answered
  prepare,    // listeners or services will change; text: hash of the configuration
  applied,    // that generation runs
  abandoned,  // it will not
  health,     // of a replica: service, port, life, is_good, count: failures in a row, text: detail
  drained,    // service, port, life: no request is left there
  good,      // a SealedFiles rides along: what the configuration that runs was read from; text: its
             // hash, is_good: from the files themselves
  order,     // an operator's, to a service: id, text: verb, service, count: replicas
  remember,  // what is known of members: the descriptor rides along (member_keeper.h)
  requests,  // service; numbers: in flight, waiting in its pool, connections that a replica may have
};

struct ReplicaMember {
  std::uint16_t port = 0;
  std::uint32_t life = 0;  // another number is another process
  bool is_draining = false;
  friend bool operator==(const ReplicaMember&, const ReplicaMember&) = default;
};

struct ServiceReplicas {
  std::string service;
  std::vector<ReplicaMember> members;
  friend bool operator==(const ServiceReplicas&, const ServiceReplicas&) = default;
};

struct Message {
  explicit Message(Kind what, std::string about = {}) : kind(what), text(std::move(about)) {}

  Kind kind;
  std::string text;
  std::string service;
  std::uint16_t port = 0;
  std::uint32_t life = 0;
  bool is_good = false;
  std::uint32_t count = 0;
  std::uint32_t id = 0;  // of a question and its answer
  std::vector<std::uint32_t> numbers;
  std::vector<std::string> addresses;  // "ip:port" of the descriptors, in order
  std::vector<ServiceReplicas> services;
};

[[nodiscard]] std::string encode(const Message& message);
// Nothing for what is no message.
[[nodiscard]] std::optional<Message> decode(std::string_view text);

}  // namespace portunus::supervisor

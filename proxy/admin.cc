#include "proxy/admin.h"

#include <sys/socket.h>

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/slab.h"
#include "conf/model.h"
#include "http/server_connection.h"
#include "net/listener.h"
#include "proxy/admin_guard.h"
#include "proxy/admin_request.h"
#include "supervisor/sockets.h"

namespace portunus::proxy {
namespace {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

constexpr std::size_t kConnectionsMax = 64;
constexpr std::uint64_t kHeadMs = 5'000;
constexpr std::uint64_t kBodyMs = 5'000;
constexpr std::uint64_t kWriteMs = 10'000;
constexpr std::uint64_t kKeepAliveMs = 30'000;

constexpr Error kMadeRoom{EndReason::client_timeout, Side::internal, Retry::no, "made room"};
constexpr Error kStopped{EndReason::shutdown, Side::internal, Retry::no,
                         "the admin interface ends"};

}  // namespace

// One listening socket with its connections; ends itself at the end of the turn once it is closed
// and empty.
class AdminDoor final : private net::Acceptor,
                        private http::StreamAcceptor,
                        private http::ServerConnectionOwner,
                        private net::Mortal {
 public:
  AdminDoor(AdminDoors& doors, net::Loop& loop, AdminSource& source, conf::Admin config);
  ~AdminDoor() = default;
  AdminDoor(const AdminDoor&) = delete;
  AdminDoor& operator=(const AdminDoor&) = delete;

  // Takes ownership of a bound socket.
  [[nodiscard]] bool start(int descriptor) { return listener_.start(descriptor); }
  // Stops accepting; running requests end, idle connections go.
  void drain();
  void shut_down();
  [[nodiscard]] const conf::Address& configured() const { return config_.listen; }
  // Of the same address: who may ask it from now on.
  void configure(const conf::Admin& config) { config_ = config; }
  [[nodiscard]] bool is_leaving() const { return context_.is_draining; }
  [[nodiscard]] net::Address bound();

 private:
  // net::Acceptor
  void on_connection(net::Listener& listener) override;
  void on_listener_closed(net::Listener& listener) override;
  // http::StreamAcceptor
  http::StreamHandler* on_stream(http::Stream& stream, const http::ClientInfo& client) override;
  void on_refused(const http::ClientInfo& /*client*/,
                  const http::Head& /*head*/,
                  Error /*why*/,
                  std::uint16_t /*status*/,
                  std::string_view /*request_id*/) override {}
  // http::ServerConnectionOwner
  void on_connection_gone(http::ServerConnection& server) override;
  // net::Mortal
  void bury() override;

  void close_an_idle_client();
  void check_empty();

  AdminDoors* doors_;
  net::Loop* loop_;
  AdminSource* source_;
  conf::Admin config_;
  base::Slab<http::Inbound> inbounds_;
  http::ServerContext context_;
  base::Slab<http::ServerConnection, 8> servers_;
  base::IntrusiveList<http::ServerConnection, http::ServerConnection> clients_;
  net::Listener listener_;
  bool is_socket_closed_ = false;
};

// Every door that has not ended yet. Outlives its Admin when sockets are still closing.
class AdminDoors final {
 public:
  AdminDoors(net::Loop& l, AdminSource& s) : loop(l), source(s) {}

  [[nodiscard]] AdminDoor* current() {
    return doors.empty() || doors.back()->is_leaving() ? nullptr : doors.back().get();
  }
  void remove(const AdminDoor& door) {
    std::erase_if(doors, [&](const auto& known) { return known.get() == &door; });
    delete_if_unused();
  }
  void leave() {
    is_orphan = true;
    delete_if_unused();
  }

  net::Loop& loop;
  AdminSource& source;
  std::vector<std::unique_ptr<AdminDoor>> doors;  // the newest last
  bool is_orphan = false;

 private:
  void delete_if_unused() {
    if (is_orphan && doors.empty()) delete this;
  }
};

AdminDoor::AdminDoor(AdminDoors& doors, net::Loop& loop, AdminSource& source, conf::Admin config)
    : doors_(&doors),
      loop_(&loop),
      source_(&source),
      config_(std::move(config)),
      context_{loop, inbounds_, *this, *this, {}},
      listener_(loop, *this, 0) {
  context_.headers_ms = kHeadMs;
  context_.body_ms = kBodyMs;
  context_.write_ms = kWriteMs;
  context_.keep_alive_ms = kKeepAliveMs;
}

void AdminDoor::on_connection(net::Listener& listener) {
  if (servers_.live() >= kConnectionsMax) {
    close_an_idle_client();  // its end accepts the new one
    return;
  }
  http::ServerConnection* server = servers_.make(context_);
  clients_.push_back(*server);
  net::Address peer;
  const int descriptor = listener.take(peer);
  server->accept(descriptor, peer, listener.index());
}

void AdminDoor::close_an_idle_client() {
  for (http::ServerConnection* server = clients_.front(); server != nullptr;
       server = clients_.next(*server)) {
    if (!server->is_idle()) continue;
    server->shut_down(kMadeRoom);
    return;
  }
}

http::StreamHandler* AdminDoor::on_stream(http::Stream& stream,
                                          const http::ClientInfo& /*client*/) {
  return make_admin_request(*loop_, *source_, config_, stream);
}

void AdminDoor::on_connection_gone(http::ServerConnection& server) {
  servers_.destroy(&server);
  if (!is_leaving()) listener_.resume();
  check_empty();
}

void AdminDoor::on_listener_closed(net::Listener& /*listener*/) {
  is_socket_closed_ = true;
  check_empty();
}

void AdminDoor::check_empty() {
  if (is_socket_closed_ && servers_.live() == 0) loop_->bury(*this);
}

void AdminDoor::bury() {
  doors_->remove(*this);
}

void AdminDoor::drain() {
  if (is_leaving()) return;
  context_.is_draining = true;
  listener_.close();
  http::ServerConnection* server = clients_.front();
  while (server != nullptr) {
    http::ServerConnection* next = clients_.next(*server);
    server->drain();
    server = next;
  }
}

void AdminDoor::shut_down() {
  drain();
  http::ServerConnection* server = clients_.front();
  while (server != nullptr) {
    http::ServerConnection* next = clients_.next(*server);
    server->shut_down(kStopped);
    server = next;
  }
}

net::Address AdminDoor::bound() {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  auto* where = reinterpret_cast<sockaddr*>(&storage);
  if (::getsockname(listener_.descriptor(), where, &length) != 0) return {};
  return net::Address::from_sockaddr(where);
}

Admin::Admin(net::Loop& loop, AdminSource& source) : doors_(new AdminDoors(loop, source)) {}

Admin::~Admin() {
  stop();
  doors_->leave();
}

std::expected<net::Address, std::string> admin_address(const conf::Admin& config) {
  const std::string& host = config.listen.host;
  if (!is_loopback_host(host)) {
    return std::unexpected("admin: " + host + " is not a loopback address");
  }
  const bool is_name = host.starts_with("localhost");
  const auto address = net::Address::parse_ip(is_name ? "127.0.0.1" : host, config.listen.port);
  if (!address) return std::unexpected("admin: " + host + ": " + address.error());
  return *address;
}

bool Admin::open(const conf::Admin& config,
                 const supervisor::InheritedSockets& inherited,
                 std::string& why) {
  AdminDoor* old = doors_->current();
  if (!config.is_enabled) {
    if (old != nullptr) old->drain();
    return true;
  }
  if (old != nullptr && old->configured() == config.listen) {
    old->configure(config);
    return true;
  }
  const auto address = admin_address(config);
  if (!address) {
    why = address.error();
    return false;
  }
  int descriptor = inherited.open(*address, 0);
  if (descriptor < 0) {
    const auto own = net::open_listening_socket(*address, false);
    if (!own) {
      why = "admin: " + own.error();
      return false;
    }
    descriptor = *own;
  }
  auto door = std::make_unique<AdminDoor>(*doors_, doors_->loop, doors_->source, config);
  const bool listens = door->start(descriptor);
  if (!listens) {
    why = "admin: " + address->text() + ": cannot listen";
    door->drain();  // only its handle is left to close; the old door stays the current one
    doors_->doors.insert(doors_->doors.begin(), std::move(door));
    return false;
  }
  doors_->doors.push_back(std::move(door));
  if (old != nullptr) old->drain();
  return true;
}

void Admin::stop() {
  for (const auto& door : doors_->doors)
    door->shut_down();
}

net::Address Admin::address() const {
  AdminDoor* door = doors_->current();
  return door == nullptr ? net::Address{} : door->bound();
}

}  // namespace portunus::proxy

#include "proxy/admin.h"

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/slab.h"
#include "conf/model.h"
#include "http/h1_server.h"
#include "net/listener.h"
#include "proxy/admin_guard.h"
#include "proxy/admin_request.h"

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
                        private http::H1ServerOwner,
                        private net::Mortal {
 public:
  AdminDoor(AdminDoors& doors, net::Loop& loop, AdminSource& source, conf::Address address);
  ~AdminDoor() = default;
  AdminDoor(const AdminDoor&) = delete;
  AdminDoor& operator=(const AdminDoor&) = delete;

  // Takes ownership of a bound socket.
  [[nodiscard]] bool start(int descriptor) { return listener_.start(descriptor); }
  // Stops accepting; running requests end, idle connections go.
  void drain();
  void shut_down();
  [[nodiscard]] const conf::Address& configured() const { return address_; }
  [[nodiscard]] bool is_leaving() const { return context_.is_draining; }
  [[nodiscard]] net::Address bound();

 private:
  // net::Acceptor
  void on_connection(net::Listener& listener) override;
  void on_listener_closed(net::Listener& listener) override;
  // http::StreamAcceptor
  http::StreamHandler* on_stream(http::Stream& stream, const net::Address& peer) override;
  void on_refused(const net::Address& /*peer*/,
                  const http::Head& /*head*/,
                  Error /*why*/,
                  std::uint16_t /*status*/,
                  std::string_view /*request_id*/) override {}
  // http::H1ServerOwner
  void on_server_gone(http::H1Server& server) override;
  // net::Mortal
  void bury() override;

  void close_an_idle_client();
  void check_empty();

  AdminDoors* doors_;
  net::Loop* loop_;
  AdminSource* source_;
  conf::Address address_;
  base::Slab<http::Inbound> inbounds_;
  http::H1ServerContext context_;
  base::Slab<http::H1Server, 8> servers_;
  base::IntrusiveList<http::H1Server, http::H1Server> clients_;
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

AdminDoor::AdminDoor(AdminDoors& doors, net::Loop& loop, AdminSource& source, conf::Address address)
    : doors_(&doors),
      loop_(&loop),
      source_(&source),
      address_(std::move(address)),
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
  http::H1Server* server = servers_.make(context_);
  clients_.push_back(*server);
  listener.mark_taken();
  // On failure it closes itself and is told to on_server_gone().
  static_cast<void>(server->accept(listener));
}

void AdminDoor::close_an_idle_client() {
  for (http::H1Server* server = clients_.front(); server != nullptr;
       server = clients_.next(*server)) {
    if (!server->is_idle()) continue;
    server->shut_down(kMadeRoom);
    return;
  }
}

http::StreamHandler* AdminDoor::on_stream(http::Stream& stream, const net::Address& /*peer*/) {
  return make_admin_request(*loop_, *source_, address_.host, stream);
}

void AdminDoor::on_server_gone(http::H1Server& server) {
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
  http::H1Server* server = clients_.front();
  while (server != nullptr) {
    http::H1Server* next = clients_.next(*server);
    server->drain();
    server = next;
  }
}

void AdminDoor::shut_down() {
  drain();
  http::H1Server* server = clients_.front();
  while (server != nullptr) {
    http::H1Server* next = clients_.next(*server);
    server->shut_down(kStopped);
    server = next;
  }
}

net::Address AdminDoor::bound() {
  sockaddr_storage storage;
  int length = sizeof storage;
  auto* where = reinterpret_cast<sockaddr*>(&storage);
  auto* handle = reinterpret_cast<uv_tcp_t*>(listener_.handle());
  if (uv_tcp_getsockname(handle, where, &length) != 0) return {};
  return net::Address::from_sockaddr(where);
}

Admin::Admin(net::Loop& loop, AdminSource& source) : doors_(new AdminDoors(loop, source)) {}

Admin::~Admin() {
  stop();
  doors_->leave();
}

bool Admin::open(const conf::Admin& config, std::string& why) {
  AdminDoor* old = doors_->current();
  if (!config.is_enabled) {
    if (old != nullptr) old->drain();
    return true;
  }
  if (old != nullptr && old->configured() == config.listen) return true;
  if (!is_loopback_host(config.listen.host)) {
    why = "admin: " + config.listen.host + " is not a loopback address";
    return false;
  }
  const std::string_view host = config.listen.host.starts_with("localhost")
                                    ? "127.0.0.1"
                                    : std::string_view(config.listen.host);
  const auto address = net::Address::parse_ip(host, config.listen.port);
  if (!address) {
    why = "admin: " + config.listen.host + ": " + address.error();
    return false;
  }
  const auto descriptor = net::open_listening_socket(*address, false);
  if (!descriptor) {
    why = "admin: " + descriptor.error();
    return false;
  }
  auto door = std::make_unique<AdminDoor>(*doors_, doors_->loop, doors_->source, config.listen);
  const bool listens = door->start(*descriptor);
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

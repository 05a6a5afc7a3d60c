// Where clients connect to.
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "conf/draft.h"
#include "conf/model.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tree.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

// A listener while it is read.
struct ListenerBody {
  Listener listener;
  bool has_tls = false;  // the key, whatever it says
  bool has_protocols = false;
};

template <auto kMember>
void of_listener(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<ListenerBody*>(object)->listener.*kMember);
}

void read_listener_tls(Reader& reader, const Key& key, const Node& value, void* object) {
  ListenerBody& body = *static_cast<ListenerBody*>(object);
  body.has_tls = true;
  reader.read(key, value, body.listener.is_tls);
}

constexpr std::array kProtocols{"h1"sv, "h2"sv};

void read_protocols(Reader& reader, const Key& key, const Node& value, void* object) {
  ListenerBody& body = *static_cast<ListenerBody*>(object);
  body.has_protocols = true;
  body.listener.offers_h1 = body.listener.offers_h2 = false;
  bool is_empty = true;
  for (const Node* item : reader.items(key, value)) {
    is_empty = false;
    const auto protocol = reader.read_choice(key, *item);
    if (!protocol) continue;
    (*protocol == 0 ? body.listener.offers_h1 : body.listener.offers_h2) = true;
  }
  if (is_empty) reader.error(value.place, "`protocols` is empty", "expected `h1`, `h2` or both");
}

void read_trusted(Reader& reader, const Key& key, const Node& value, void* object) {
  std::vector<std::string>& proxies = static_cast<ListenerBody*>(object)->listener.proxies;
  const bool is_empty = reader.items(key, value).empty();
  reader.read_networks(key, value, proxies);
  if (is_empty) {
    reader.error(value.place, "`trusted` is empty", "leave `proxy_protocol` out if there are none");
  }
}

constexpr auto kProxyProtocolKeys = std::to_array<Key>({
    {.name = "trusted",
     .type = Type::list,
     .read = read_trusted,
     .doc = "Addresses and networks of the load balancers in front. What comes from there begins "
            "with a PROXY header, or is closed; nobody else's is believed.",
     .is_required = true},
});
constexpr Section kProxyProtocol{"`proxy_protocol`", kProxyProtocolKeys, {}};

void read_proxy_protocol(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read_section(*key.section, value, object);
}

constexpr auto kListenerKeys = std::to_array<Key>({
    {.name = "address",
     .type = Type::address,
     .read = of_listener<&Listener::address>,
     .doc = "`host:port`, or `:port` for every local address.",
     .is_required = true},
    {.name = "max_connections",
     .type = Type::integer,
     .read = of_listener<&Listener::max_connections>,
     .initial = "0",
     .doc = "Open client connections at once; beyond it new ones wait in the accept queue. 0 = no "
            "limit but the "
            "process's descriptors.",
     .max = 100'000'000},
    {.name = "tls",
     .type = Type::boolean,
     .read = read_listener_tls,
     .initial = "false",
     .doc =
         "Connections are encrypted. Where it is written as `false`, sites with TLS are served in "
         "plain as well; without the key they are redirected to their listener with TLS."},
    {.name = "protocols",
     .type = Type::list,
     .read = read_protocols,
     .doc =
         "What clients may speak: with TLS they choose (ALPN), and both are the default; without "
         "it, `h1` is, and `h2` is for clients that know beforehand.",
     .choices = kProtocols},
    {.name = "proxy_protocol",
     .type = Type::section,
     .read = read_proxy_protocol,
     .doc = "Load balancers in front say whose connection it is (version 1 or 2); that address is "
            "the client's.",
     .section = &kProxyProtocol},
});
constexpr Section kListener{"a listener", kListenerKeys, {}};

}  // namespace

void read_listeners(Reader& reader, const Key& key, const Node& value, void* object) {
  Draft& draft = *static_cast<Draft*>(object);
  static constexpr Key kShort{.name = "address", .type = Type::address};
  for (const auto& [name, body] : reader.entries(key, value)) {
    if (!reader.check_name(*name, "a listener")) continue;
    const auto [known, is_new] =
        draft.listener_names.emplace(name->text, draft.model.listeners.size());
    if (!is_new) {
      reader.report_second(*name, "the listener", draft.listener_places[known->second]);
      continue;
    }
    ListenerBody read;
    Listener& listener = read.listener;
    listener.name = name->text;
    listener.declared_at = reader.describe(name->place);
    if (body->kind == NodeKind::scalar) {
      reader.read(kShort, *body, listener.address);
    } else {
      reader.read_section(*key.section, *body, &read);
    }
    if (!read.has_protocols) listener.offers_h2 = listener.is_tls;
    draft.plain_listeners.push_back(read.has_tls && !listener.is_tls);
    draft.model.listeners.push_back(std::move(listener));
    draft.listener_places.push_back(name->place);
  }
}

const Section& listener_section() {
  return kListener;
}

}  // namespace portunus::conf

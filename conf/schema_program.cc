// What concerns the program itself, not its traffic: the admin interface, logs and the stop.
#include <array>
#include <string>
#include <utility>

#include "conf/draft.h"
#include "conf/header_text.h"
#include "conf/model.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kTokenBytesMin = 16;
constexpr std::size_t kTokenBytesMax = 1024;  // well below what a request's head may have

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || (host.starts_with("127.") && is_ip_address(host));
}

void read_listen(Reader& reader, const Key& key, const Node& value, void* object) {
  Admin& admin = *static_cast<Admin*>(object);
  reader.draft().admin_place = value.place;
  if (value.kind == NodeKind::scalar && value.text == "off") {
    admin.is_enabled = false;
    return;
  }
  Address address;
  reader.read(key, value, address);
  if (address.port == 0) return;  // reported
  if (!is_loopback(address.host)) {
    reader.error(value.place,
                 "`listen`: the admin interface has no encryption and listens on loopback only",
                 "such as 127.0.0.1:9180");
    return;
  }
  admin.listen = std::move(address);
}

// Nothing of its words is for messages, nor is its line.
void read_token(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.hide_line(value.place);
  const auto text = reader.secret(key, value);
  if (!text) return;
  if (text->starts_with("file:") && text->data() == value.text.data()) {
    reader.error(value.place, "`token`: a file is named by its absolute path",
                 "such as file:/etc/portunus/admin.token");
  } else if (text->size() < kTokenBytesMin || text->size() > kTokenBytesMax) {
    reader.error(value.place,
                 "`token`: from " + std::to_string(kTokenBytesMin) + " to " +
                     std::to_string(kTokenBytesMax) + " characters",
                 "`openssl rand -hex 32` makes a good one");
  } else if (!is_target_text(*text)) {
    reader.error(value.place, "`token`: letters, digits and marks only; no spaces",
                 "`openssl rand -hex 32` makes a good one");
  } else {
    static_cast<Admin*>(object)->token = *text;
  }
}

constexpr std::array kTokenFor{"changes"sv, "all"sv};

constexpr auto kAdminKeys = std::to_array<Key>({
    {.name = "listen",
     .type = Type::address,
     .read = read_listen,
     .initial = "127.0.0.1:9180",
     .doc =
         "Where `/metrics`, `/livez`, `/readyz` and `/v1/…` answer: a loopback address, or `off`."},
    {.name = "token",
     .type = Type::text,
     .read = read_token,
     .doc = "Requests that change something need `Authorization: Bearer` and this, 16 to 1024 "
            "characters. `file:/path` is what that file holds. None: nobody is asked."},
    {.name = "token_for",
     .type = Type::choice,
     .read = field<&Admin::token_for>,
     .initial = "changes",
     .doc = "What needs the token: what changes something, or reading as well, except `/livez` and "
            "`/readyz`.",
     .choices = kTokenFor},
});
constexpr std::array kLaterAdminKeys{"socket"sv};
constexpr Section kAdmin{"`admin`", kAdminKeys, kLaterAdminKeys};

// Object is Log or AccessLog.
template <typename Object>
void read_output(Reader& reader, const Key& key, const Node& value, void* object) {
  Output& output = static_cast<Object*>(object)->output;
  const auto text = reader.text(key, value);
  if (!text) return;
  if (text->empty()) {
    reader.error(value.place, "`output` has no value", "stderr, stdout or the path of a file");
  } else if (*text == "stderr") {
    output = {OutputKind::standard_error, {}};
  } else if (*text == "stdout") {
    output = {OutputKind::standard_output, {}};
  } else {
    output = {OutputKind::file, std::string(*text)};
  }
}

constexpr std::array kLevels{"trace"sv, "debug"sv, "info"sv, "warning"sv, "error"sv};
constexpr std::array kLogFormats{"text"sv, "json"sv};
constexpr std::array kAccessLogFormats{"off"sv, "json"sv, "combined"sv};

constexpr auto kLogKeys = std::to_array<Key>({
    {.name = "level",
     .type = Type::choice,
     .read = field<&Log::level>,
     .initial = "info",
     .doc = "The least that is written.",
     .choices = kLevels},
    {.name = "format",
     .type = Type::choice,
     .read = field<&Log::format>,
     .initial = "text",
     .doc = "Lines for people, or one JSON object a line.",
     .choices = kLogFormats},
    {.name = "output",
     .type = Type::text,
     .read = read_output<Log>,
     .initial = "stderr",
     .doc = "`stderr`, `stdout` or the path of a file; SIGUSR1 reopens it."},
});
constexpr Section kLog{"`log`", kLogKeys, {}};

constexpr auto kAccessLogKeys = std::to_array<Key>({
    {.name = "output",
     .type = Type::text,
     .read = read_output<AccessLog>,
     .initial = "stdout",
     .doc = "`stdout`, `stderr` or the path of a file; SIGUSR1 reopens it."},
    {.name = "format",
     .type = Type::choice,
     .read = field<&AccessLog::format>,
     .initial = "json",
     .doc = "One JSON object a line, the combined format that many tools read, or nothing.",
     .choices = kAccessLogFormats},
});
constexpr Section kAccessLog{"`access_log`", kAccessLogKeys, {}};

constexpr auto kShutdownKeys = std::to_array<Key>({
    {.name = "announce",
     .type = Type::duration,
     .read = field<&Shutdown::announce>,
     .initial = "0s",
     .doc =
         "How long `/readyz` answers 503 before the listeners close, for load balancers in front.",
     .max = kHour},
    {.name = "drain",
     .type = Type::duration,
     .read = field<&Shutdown::drain>,
     .initial = "30s",
     .doc = "How long running requests may take to end after SIGTERM.",
     .max = kDay},
});
constexpr Section kShutdown{"`shutdown`", kShutdownKeys, {}};

}  // namespace

void read_admin(Reader& reader, const Key& key, const Node& value, void* object) {
  Admin& admin = static_cast<Draft*>(object)->model.admin;
  if (value.kind == NodeKind::scalar) {
    read_listen(reader, kAdminKeys.front(), value, &admin);
  } else {
    reader.read_section(*key.section, value, &admin);
  }
}

void read_access_log(Reader& reader, const Key& key, const Node& value, void* object) {
  AccessLog& log = static_cast<Draft*>(object)->model.access_log;
  log.format = AccessLogFormat::json;
  if (value.kind != NodeKind::scalar) {
    reader.read_section(*key.section, value, &log);
  } else if (value.text == "off") {
    log.format = AccessLogFormat::off;
  } else {
    read_output<AccessLog>(reader, kAccessLogKeys.front(), value, &log);
  }
}

const Section& admin_section() {
  return kAdmin;
}

const Section& log_section() {
  return kLog;
}

const Section& access_log_section() {
  return kAccessLog;
}

const Section& shutdown_section() {
  return kShutdown;
}

}  // namespace portunus::conf

// `sticky` of a pool: the cookie that keeps a client with its member.
#include <array>
#include <optional>
#include <string>

#include "conf/header_text.h"
#include "conf/model.h"
#include "conf/pool_reader.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kCookieNameMax = 64;
constexpr std::size_t kSecretBytesMin = 32;
constexpr std::size_t kSecretBytesUseful = 1024;

constexpr std::array kSecures{"auto"sv, "always"sv, "never"sv};
constexpr std::array kSameSites{"lax"sv, "strict"sv, "none"sv};

void read_cookie_name(Reader& reader, const Key& key, const Node& value, void* object) {
  const auto text = reader.text(key, value);
  if (!text) return;
  if (!is_token(*text) || text->size() > kCookieNameMax) {
    reader.error(value.place,
                 "`cookie`: a name has letters, digits and marks, and no spaces, `;` or `=`",
                 "at most " + std::to_string(kCookieNameMax) + " characters");
    return;
  }
  static_cast<Sticky*>(object)->cookie = *text;
}

// Nothing of its words is for messages, nor is its line.
void read_sticky_secret(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.hide_line(value.place);
  const auto text = reader.secret(key, value);
  if (!text) return;
  constexpr std::string_view kHint = "`openssl rand -hex 32` makes a good one";
  if (text->starts_with("file:") && text->data() == value.text.data()) {
    reader.error(value.place, "`secret`: a file is named by its absolute path",
                 "such as file:/etc/portunus/sticky.key");
  } else if (text->size() < kSecretBytesMin || text->size() > kSecretBytesUseful) {
    reader.error(value.place,
                 "`secret`: from " + std::to_string(kSecretBytesMin) + " to " +
                     std::to_string(kSecretBytesUseful) + " characters",
                 std::string(kHint));
  } else {
    static_cast<Sticky*>(object)->secret = *text;
  }
}

constexpr auto kStickyKeys = std::to_array<Key>({
    {.name = "cookie",
     .type = Type::text,
     .read = read_cookie_name,
     .initial = "portunus",
     .doc = "Its name, which is Portunus's alone: members never see it, nor another cookie of that "
            "name. Pools that share a host need a name each."},
    {.name = "ttl",
     .type = Type::duration,
     .read = field<&Sticky::ttl>,
     .initial = "1h",
     .doc = "How long a client stays with its member; anew when less than half of it is left and a "
            "request comes.",
     .min = 1'000,
     .max = 365 * kDay},
    {.name = "secure",
     .type = Type::choice,
     .read = field<&Sticky::secure>,
     .initial = "auto",
     .doc = "Whether the cookie is for HTTPS only. `auto`: when the client came by HTTPS.",
     .choices = kSecures},
    {.name = "same_site",
     .type = Type::choice,
     .read = field<&Sticky::same_site>,
     .initial = "lax",
     .doc = "Whether browsers send it with requests that other sites cause. `none` = with all; "
            "browsers take that over HTTPS only, so it is left out elsewhere.",
     .choices = kSameSites},
    {.name = "secret",
     .type = Type::text,
     .read = read_sticky_secret,
     .doc =
         "What cookies are signed with, 32 to 1024 characters; the same on several machines makes "
         "them agree. `file:/path` is what that file holds. Without it: a random one, kept in "
         "the folder `state`."},
});
constexpr Section kSticky{"`sticky`", kStickyKeys, {}};

bool is_for_https(std::string_view cookie) {
  return cookie.starts_with("__Host-") || cookie.starts_with("__Secure-");
}

}  // namespace

const Section& sticky_section() {
  return kSticky;
}

void read_sticky(Reader& reader, const Key& key, const Node& value, void* object) {
  auto& sticky = *static_cast<std::optional<Sticky>*>(object);
  if (value.kind == NodeKind::scalar) {
    bool is_on = false;
    reader.read(key, value, is_on);
    if (is_on) sticky.emplace();
    return;
  }
  reader.read_section(*key.section, value, &sticky.emplace());
  if (sticky->secure != CookieSecure::never) return;
  if (sticky->same_site == SameSite::none) {
    reader.error(value.place, "`same_site: none` needs a cookie that is secure",
                 "browsers take no other; leave `secure` out");
  } else if (is_for_https(sticky->cookie)) {
    reader.error(value.place, "`" + sticky->cookie + "` needs a cookie that is secure",
                 "browsers take no other with that name; leave `secure` out");
  }
}

}  // namespace portunus::conf

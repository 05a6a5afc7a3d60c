// `basic_auth` of a site or a route: names and hashes of passwords.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "conf/basic_auth_reader.h"
#include "conf/header_text.h"
#include "conf/password_hash.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

constexpr std::size_t kRealmMax = 100;

struct AuthDraft {
  BasicAuth auth;
  std::string realm = "Restricted";
  bool has_users = false;
  bool has_fault = false;  // reported
};

std::string user_fault(std::string_view name) {
  if (name.empty()) return "a name is missing";
  if (name.size() > BasicAuth::kNameBytesMax) return "a name is longer than 128 bytes";
  const bool is_plain = std::ranges::all_of(
      name, [](char c) { return static_cast<unsigned char>(c) > ' ' && c != ':' && c != '\x7f'; });
  return is_plain ? "" : in_quotes(name) + " has a space, a colon or a control character in it";
}

void add_user(
    Reader& reader, Place place, std::string_view name, std::string_view hash, void* object) {
  AuthDraft& draft = *static_cast<AuthDraft*>(object);
  std::string fault = user_fault(name);
  if (fault.empty()) {
    fault = password_hash_fault(std::string(hash));
    if (!fault.empty()) fault = in_quotes(name) + ": " + fault;
  }
  if (!fault.empty()) {
    draft.has_fault = true;
    reader.error(place, "`users`: " + fault);
    return;
  }
  if (draft.auth.users.size() == BasicAuth::kUsersMax) {
    reader.error(place, "`users`: more than " + std::to_string(BasicAuth::kUsersMax));
    return;
  }
  draft.auth.users.push_back({std::string(name), std::string(hash)});
}

// Lines of `name:hash`, as htpasswd writes them.
void add_users_of_file(Reader& reader, Place place, std::string_view text, void* object) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      reader.error(place, "`users`: line " + std::to_string(number) + " of the file has no colon");
    } else {
      add_user(reader, place, line.substr(0, colon), line.substr(colon + 1), object);
    }
  }
}

// What stands there may be a password by mistake: it is in no message.
void read_users(Reader& reader, const Key& key, const Node& value, void* object) {
  AuthDraft& draft = *static_cast<AuthDraft*>(object);
  draft.has_users = true;
  if (value.kind == NodeKind::scalar) {
    reader.hide_line(value.place);
    const auto text = reader.secret(key, value);
    draft.has_fault = !text;
    if (!text) return;
    if (text->data() == value.text.data()) {
      draft.has_fault = true;
      reader.error(value.place, "`users`: expected names with hashes, or a file of them",
                   "such as file:/etc/portunus/users");
      return;
    }
    add_users_of_file(reader, value.place, *text, object);
  } else {
    for (const Reader::Entry& entry : reader.entries(key, value)) {
      reader.hide_line(entry.value->place);
      const auto hash = reader.secret(key, *entry.value);
      draft.has_fault = draft.has_fault || !hash;
      if (hash) add_user(reader, entry.key->place, entry.key->text, *hash, object);
    }
  }
  auto& users = draft.auth.users;
  std::ranges::stable_sort(users, {}, &BasicAuth::User::name);
  const auto second = std::ranges::adjacent_find(users, {}, &BasicAuth::User::name);
  if (second != users.end())
    reader.error(value.place, "`users`: " + in_quotes(second->name) + " stands there twice");
}

void read_realm(Reader& reader, const Key& key, const Node& value, void* object) {
  const auto text = reader.text(key, value);
  if (!text) return;
  if (!is_field_value(*text) || text->size() > kRealmMax ||
      text->find_first_of("\"\\") != std::string_view::npos) {
    reader.error(value.place, "`realm`: at most " + std::to_string(kRealmMax) +
                                  " characters, and no quotes or backslashes");
    return;
  }
  static_cast<AuthDraft*>(object)->realm = *text;
}

void read_user_field(Reader& reader, const Key& key, const Node& value, void* object) {
  const auto text = reader.text(key, value);
  if (!text) return;
  const std::string name = lower_case(*text);
  const bool is_name = is_token(name) && name.find_first_of("_.") == std::string::npos;
  // What has a meaning of its own is none.
  const bool is_own = (name.starts_with("x-") || name.starts_with("remote-")) &&
                      !name.starts_with("x-forwarded-") && name != "x-request-id" &&
                      name != "x-real-ip";
  if (!is_name || !is_own) {
    reader.error(value.place, "`user_header`: " + in_quotes(*text) + " cannot be its name",
                 "such as X-Remote-User or Remote-User");
    return;
  }
  static_cast<AuthDraft*>(object)->auth.user_field = name;
}

void read_pass(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<AuthDraft*>(object)->auth.passes_credentials);
}

constexpr auto kAuthKeys = std::to_array<Key>({
    {.name = "users",
     .type = Type::pairs,
     .read = read_users,
     .doc = "Names, each with the hash of a password: bcrypt, yescrypt, scrypt, or SHA-crypt, as "
            "`portunus password` or `htpasswd -B` make them. `file:/path` is a file with lines of "
            "`name:hash`, up to 8KiB; a change of it is a reload.",
     .also = kAlsoText,
     .is_required = true},
    {.name = "realm",
     .type = Type::text,
     .read = read_realm,
     .initial = "Restricted",
     .doc = "What browsers show when they ask."},
    {.name = "user_header",
     .type = Type::text,
     .read = read_user_field,
     .doc = "A field that tells members the name, such as `X-Remote-User`; what clients say there "
            "is dropped. Without this key they are told nothing."},
    {.name = "pass_credentials",
     .type = Type::boolean,
     .read = read_pass,
     .initial = "false",
     .doc = "Whether members get the `Authorization` field with the password."},
});
constexpr Section kAuth{"`basic_auth`", kAuthKeys, {}};

}  // namespace

const Section& basic_auth_section() {
  return kAuth;
}

void read_basic_auth(Reader& reader, const Key& key, const Node& value, void* object) {
  AuthDraft draft;
  reader.read_section(*key.section, value, &draft);
  if (!draft.has_users || draft.has_fault) return;  // reported
  if (draft.auth.users.empty()) {
    reader.error(value.place, "`basic_auth`: no user is left, so nobody would come in",
                 "`deny: 0.0.0.0/0` says that, if it is meant");
    return;
  }
  draft.auth.challenge = "Basic realm=\"" + draft.realm + "\", charset=\"UTF-8\"";
  *static_cast<std::optional<BasicAuth>*>(object) = std::move(draft.auth);
}

}  // namespace portunus::conf

// Who may come in by a name and a password (HTTP's basic scheme, RFC 7617). See conf/model.h for what
// holds for all of the model.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace portunus::conf {

struct BasicAuth {
  static constexpr std::size_t kUsersMax = 1000;
  static constexpr std::size_t kNameBytesMax = 128;

  struct User {
    std::string name;
    std::string hash;  // as crypt(5) has them; never shown
    friend bool operator==(const User&, const User&) = default;
  };

  // Null: no such user.
  [[nodiscard]] const User* find(std::string_view name) const {
    const auto at = std::ranges::lower_bound(users, name, {}, &User::name);
    return at != users.end() && at->name == name ? &*at : nullptr;
  }

  std::vector<User> users;  // in the order of their names; never empty
  std::string challenge;    // the value of WWW-Authenticate
  std::string user_field;  // that members are told the name in, in lower case; empty = they are not
  bool passes_credentials = false;  // members get the password, too
  friend bool operator==(const BasicAuth&, const BasicAuth&) = default;
};

}  // namespace portunus::conf

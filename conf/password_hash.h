// Hashes of passwords as crypt(5) has them: which ones are good enough, and making one. Any thread.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace portunus::conf {

// What is wrong with a hash of a configuration: it is none that the system knows, one that a guess breaks,
// or one that takes a processor for too long. Empty: nothing.
[[nodiscard]] std::string password_hash_fault(const std::string& hash);

// By bcrypt, with a salt of its own. The error says why there is none.
[[nodiscard]] std::expected<std::string, std::string> hash_password(const std::string& password);

}  // namespace portunus::conf

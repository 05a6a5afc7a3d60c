#include "conf/password_hash.h"

#include <crypt.h>
#include <openssl/crypto.h>

#include <charconv>
#include <memory>

namespace portunus::conf {
namespace {

constexpr const char* kBcrypt = "$2b$";
constexpr unsigned long kCost = 10;     // a twentieth of a second, once for each client in a while
constexpr int kBcryptCostMax = 14;      // a second
constexpr long kRoundsMax = 1'000'000;  // of SHA-crypt: a quarter of a second
constexpr std::size_t kBcryptSize = 60;
constexpr std::size_t kPasswordMax = 72;  // bcrypt does not look further

int number_at(std::string_view text) {
  int number = -1;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

bool takes_too_long(std::string_view hash) {
  constexpr std::string_view kRounds = "rounds=";
  if (hash.starts_with("$2")) return number_at(hash.substr(4)) > kBcryptCostMax;
  if (!hash.starts_with("$5$") && !hash.starts_with("$6$")) return false;
  const std::string_view rest = hash.substr(3);
  return rest.starts_with(kRounds) && number_at(rest.substr(kRounds.size())) > kRoundsMax;
}

}  // namespace

std::string password_hash_fault(const std::string& hash) {
  constexpr const char* kBetter = "; `portunus password` makes one";
  switch (::crypt_checksalt(hash.c_str())) {
    case CRYPT_SALT_OK:
      break;
    case CRYPT_SALT_METHOD_LEGACY:
    case CRYPT_SALT_TOO_CHEAP:
      return std::string("no hash, or one of a kind that is easily guessed") + kBetter;
    default:
      return std::string("no hash of a password that this system knows") + kBetter;
  }
  if (hash.starts_with("$2") && hash.size() != kBcryptSize)
    return std::string("a bcrypt hash has 60 characters") + kBetter;
  if (takes_too_long(hash)) return std::string("this hash takes too long to check") + kBetter;
  return {};
}

std::expected<std::string, std::string> hash_password(const std::string& password) {
  if (password.empty()) return std::unexpected("an empty password");
  if (password.size() > kPasswordMax) return std::unexpected("longer than 72 bytes");
  if (password.find('\0') != std::string::npos) return std::unexpected("a byte of zero in it");
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  if (::crypt_gensalt_rn(kBcrypt, kCost, nullptr, 0, setting, sizeof(setting)) == nullptr)
    return std::unexpected("the system makes no salt");
  const auto room = std::make_unique<crypt_data>();
  const char* const made = ::crypt_rn(password.c_str(), setting, room.get(), sizeof(crypt_data));
  std::string hash = made == nullptr ? std::string() : made;
  OPENSSL_cleanse(room.get(), sizeof(crypt_data));
  if (hash.empty()) return std::unexpected("the system makes no hash");
  return hash;
}

}  // namespace portunus::conf

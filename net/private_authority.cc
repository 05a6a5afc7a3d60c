#include "net/private_authority.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string_view>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "net/certificate_reader.h"
#include "net/openssl_ptr.h"

namespace portunus::net {
namespace {

using Text = std::vector<char>;  // wiped by whoever held a key in it

constexpr std::size_t kFileMax = std::size_t{1} << 20U;
constexpr const char* kRootName = "Portunus Local Authority";
constexpr int kClockSkew = 3600;  // seconds that clients may be behind

std::unexpected<std::string> failure(const std::string& what) {
  return std::unexpected(what + ": " + openssl_error());
}

void wipe(Text& text) {
  OPENSSL_cleanse(text.data(), text.size());
}

// Empty with errno set when it cannot be read.
std::expected<Text, int> read_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) return std::unexpected(errno);
  Text text(kFileMax);
  std::size_t done = 0;
  ssize_t size = 0;
  while (done < text.size() && (size = ::read(file, text.data() + done, text.size() - done)) > 0)
    done += static_cast<std::size_t>(size);
  const int error = size < 0 ? errno : 0;
  ::close(file);
  text.resize(done);
  if (error != 0) return std::unexpected(error);
  return text;
}

// In one step; what is wrong, or empty.
std::string write_file(const std::string& path, std::string_view text, mode_t mode) {
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  const int file =
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
  if (file < 0) return fresh + ": " + strerrordesc_np(errno);
  const ssize_t size = ::write(file, text.data(), text.size());
  const int error = size < 0 ? errno : ENOSPC;
  const bool is_written = size == static_cast<ssize_t>(text.size()) && ::fsync(file) == 0;
  ::close(file);
  if (is_written && ::rename(fresh.c_str(), path.c_str()) == 0) return {};
  ::unlink(fresh.c_str());
  return path + ": " + strerrordesc_np(error);
}

// ---- what OpenSSL makes ----

template <typename Write>
Text print(Write write) {
  const OpensslPtr<BIO> out(BIO_new(BIO_s_secmem()));
  if (!out || write(out.get()) != 1) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, data + size};
}

Text print(X509* certificate) {
  return print([&](BIO* out) { return PEM_write_bio_X509(out, certificate); });
}

Text print(EVP_PKEY* key) {
  return print([&](BIO* out) {
    return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

std::string_view view(const Text& text) {
  return {text.data(), text.size()};
}

bool add_extension(X509* to, X509* issuer, int which, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  const OpensslPtr<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &context, which, value));
  return extension && X509_add_ext(to, extension.get(), -1) == 1;
}

bool set_times(X509* certificate, std::int64_t life) {
  return X509_gmtime_adj(X509_getm_notBefore(certificate), -kClockSkew) != nullptr &&
         X509_gmtime_adj(X509_getm_notAfter(certificate), static_cast<long>(life)) != nullptr;
}

OpensslPtr<X509> begin(EVP_PKEY* key, const char* common_name, std::int64_t life) {
  OpensslPtr<X509> made(X509_new());
  std::array<unsigned char, 16> number{};
  if (!made || RAND_bytes(number.data(), static_cast<int>(number.size())) != 1) return nullptr;
  number[0] = static_cast<unsigned char>((number[0] & 0x7FU) | 0x40U);  // positive, and never short
  const OpensslPtr<BIGNUM> serial(
      BN_bin2bn(number.data(), static_cast<int>(number.size()), nullptr));
  const auto* name = reinterpret_cast<const unsigned char*>(common_name);
  const bool is_good =
      serial && BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(made.get())) != nullptr &&
      X509_set_version(made.get(), X509_VERSION_3) == 1 &&
      X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8, name, -1,
                                 -1, 0) == 1 &&
      set_times(made.get(), life) && X509_set_pubkey(made.get(), key) == 1;
  return is_good ? std::move(made) : nullptr;
}

OpensslPtr<X509> make_root(EVP_PKEY* key) {
  // Each has a name of its own: clients must not take one for the other.
  std::array<unsigned char, 4> mark{};
  if (RAND_bytes(mark.data(), static_cast<int>(mark.size())) != 1) return nullptr;
  std::array<char, 64> name{};
  std::snprintf(name.data(), name.size(), "%s %02x%02x%02x%02x", kRootName, mark[0], mark[1],
                mark[2], mark[3]);
  auto root = begin(key, name.data(), PrivateAuthority::kRootLife);
  X509* const it = root.get();
  const bool is_good = root && X509_set_issuer_name(it, X509_get_subject_name(it)) == 1 &&
                       add_extension(it, it, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                       add_extension(it, it, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                       add_extension(it, it, NID_subject_key_identifier, "hash") &&
                       X509_sign(it, key, EVP_sha256()) > 0;
  return is_good ? std::move(root) : nullptr;
}

bool add_names(X509* to, std::span<const std::string> names) {
  const OpensslPtr<GENERAL_NAMES> all(sk_GENERAL_NAME_new_null());
  if (!all) return false;
  for (const std::string& name : names) {
    GENERAL_NAME* const each = GENERAL_NAME_new();
    if (each == nullptr || sk_GENERAL_NAME_push(all.get(), each) == 0) return false;
    std::array<unsigned char, 16> bytes{};
    const bool is_v4 = ::inet_pton(AF_INET, name.c_str(), bytes.data()) == 1;
    const bool is_v6 = !is_v4 && ::inet_pton(AF_INET6, name.c_str(), bytes.data()) == 1;
    if (is_v4 || is_v6) {
      ASN1_OCTET_STRING* const address = ASN1_OCTET_STRING_new();
      ASN1_OCTET_STRING_set(address, bytes.data(), is_v4 ? 4 : 16);
      GENERAL_NAME_set0_value(each, GEN_IPADD, address);
    } else {
      ASN1_IA5STRING* const text = ASN1_IA5STRING_new();
      ASN1_STRING_set(text, name.data(), static_cast<int>(name.size()));
      GENERAL_NAME_set0_value(each, GEN_DNS, text);
    }
  }
  return X509_add1_ext_i2d(to, NID_subject_alt_name, all.get(), 0, X509V3_ADD_DEFAULT) == 1;
}

}  // namespace

bool is_due(const Certificate& certificate) {
  return certificate.not_after() - PrivateAuthority::kRenewBefore <= std::time(nullptr);
}

struct PrivateAuthority::Parts {
  std::string folder;
  OpensslPtr<EVP_PKEY> key;
  OpensslPtr<X509> root;
  CertificateReader reader;

  std::string make();
  std::string take(const Text& certificate, const Text& private_key);
  [[nodiscard]] std::expected<Text, std::string> sign(std::span<const std::string> names) const;
};

// A new root, on the disk first. What is wrong, or empty.
std::string PrivateAuthority::Parts::make() {
  key.reset(EVP_EC_gen("P-256"));
  if (key) root = make_root(key.get());
  if (!key || !root) return "our own authority: " + openssl_error();
  Text text = print(key.get());
  std::string why = write_file(folder + "/root.key", view(text), 0600);
  wipe(text);
  if (!why.empty()) return why;
  return write_file(folder + "/root.pem", view(print(root.get())), 0644);
}

std::string PrivateAuthority::Parts::take(const Text& certificate, const Text& private_key) {
  const auto whole = reader.read(view(certificate), view(private_key));
  if (!whole) return folder + "/root.pem: " + whole.error();
  if ((*whole)->not_after() <= std::time(nullptr))
    return folder + "/root.pem has expired: move it and root.key away, and trust the next one";
  root.reset((*whole)->leaf());
  X509_up_ref(root.get());
  const OpensslPtr<BIO> from(
      BIO_new_mem_buf(private_key.data(), static_cast<int>(private_key.size())));
  key.reset(PEM_read_bio_PrivateKey(from.get(), nullptr, no_passphrase, nullptr));
  return key ? "" : folder + "/root.key: " + openssl_error();
}

// The certificate, the root and the key in one text.
std::expected<Text, std::string> PrivateAuthority::Parts::sign(
    std::span<const std::string> names) const {
  const OpensslPtr<EVP_PKEY> own(EVP_EC_gen("P-256"));
  constexpr std::size_t kCommonNameMax = 64;
  const std::string& first = names.front();
  const auto made =
      own ? begin(own.get(), first.size() <= kCommonNameMax ? first.c_str() : "portunus",
                  PrivateAuthority::kLife)
          : nullptr;
  X509* const it = made.get();
  const bool is_good = it != nullptr &&
                       X509_set_issuer_name(it, X509_get_subject_name(root.get())) == 1 &&
                       add_names(it, names) &&
                       add_extension(it, root.get(), NID_basic_constraints, "critical,CA:FALSE") &&
                       add_extension(it, root.get(), NID_key_usage, "critical,digitalSignature") &&
                       add_extension(it, root.get(), NID_ext_key_usage, "serverAuth") &&
                       add_extension(it, root.get(), NID_authority_key_identifier, "keyid") &&
                       X509_sign(it, key.get(), EVP_sha256()) > 0;
  if (!is_good) return failure("a certificate for " + first);
  Text text = print(it);
  for (Text part : {print(root.get()), print(own.get())}) {
    text.insert(text.end(), part.begin(), part.end());
    wipe(part);
  }
  return text;
}

PrivateAuthority::PrivateAuthority(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
PrivateAuthority::~PrivateAuthority() = default;
PrivateAuthority::PrivateAuthority(PrivateAuthority&&) noexcept = default;
PrivateAuthority& PrivateAuthority::operator=(PrivateAuthority&&) noexcept = default;

std::expected<PrivateAuthority, std::string> PrivateAuthority::open(const std::string& folder) {
  auto parts = std::make_unique<Parts>();
  parts->folder = folder;
  auto certificate = read_file(folder + "/root.pem");
  auto key = read_file(folder + "/root.key");
  std::string why;
  if (!certificate && certificate.error() == ENOENT) {
    why = parts->make();  // without it, a key alone is nobody's
  } else if (!certificate || !key) {
    why = folder + (certificate ? "/root.key: " : "/root.pem: ") +
          strerrordesc_np(certificate ? key.error() : certificate.error());
  } else {
    why = parts->take(*certificate, *key);
  }
  if (key) wipe(*key);
  if (!why.empty()) return std::unexpected(why);
  return PrivateAuthority(std::move(parts));
}

std::string PrivateAuthority::root_file() const {
  return parts_->folder + "/root.pem";
}

std::expected<SharedCertificate, std::string> PrivateAuthority::certificate_for(
    std::span<const std::string> names) {
  std::vector<std::string> sorted(names.begin(), names.end());
  std::ranges::sort(sorted);
  sorted.erase(std::ranges::unique(sorted).begin(), sorted.end());
  std::string together;
  for (const std::string& name : sorted)
    together += name + '\n';
  std::array<char, 32> file{};
  std::snprintf(file.data(), file.size(), "/%016llx.pem",
                static_cast<unsigned long long>(base::stable_hash(together)));
  const std::string path = parts_->folder + file.data();
  if (auto kept = read_file(path)) {
    const auto known = parts_->reader.read(view(*kept), view(*kept));
    wipe(*kept);
    const bool is_ours = known && (*known)->names() == sorted && !is_due(**known) &&
                         X509_verify((*known)->leaf(), parts_->key.get()) == 1;
    ERR_clear_error();
    if (is_ours) return *known;
  }
  auto text = parts_->sign(sorted);
  if (!text) return std::unexpected(text.error());
  std::string why = write_file(path, view(*text), 0600);
  auto made = parts_->reader.read(view(*text), view(*text));
  wipe(*text);
  if (!why.empty()) return std::unexpected(std::move(why));
  return made;
}

}  // namespace portunus::net

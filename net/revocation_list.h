// Which certificates the authorities of clients have taken back: the lists that they sign (CRL, RFC 5280
// section 5), read from PEM and known to be whole, signed by those authorities, and for all that they
// sign. Immutable, shared by all threads; a look-up takes the logarithm of the list's length, and
// neither lock nor memory. Times are seconds since 1970.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct asn1_string_st;  // NOLINT: the library's
struct X509_crl_st;
struct stack_st_X509;
struct x509_st;

namespace portunus::net {

class RevocationList;
using SharedRevocationList = std::shared_ptr<const RevocationList>;

class RevocationList {
 public:
  enum class Verdict : std::uint8_t {
    good,
    revoked,
    unlisted,     // of an issuer of whom there is no list: nobody can tell
    out_of_date,  // the list of its issuer has ended
  };
  static constexpr std::size_t kCountMax = 100;
  // How far ahead of ours an authority's clock may be.
  static constexpr std::int64_t kClockSkew = 300;

  // One list or several; of several of one authority the newest counts. The error is for the user.
  [[nodiscard]] static std::expected<SharedRevocationList, std::string> read(
      std::string_view pem, std::span<x509_st* const> authorities, std::int64_t now);
  ~RevocationList();
  RevocationList(const RevocationList&) = delete;
  RevocationList& operator=(const RevocationList&) = delete;

  // Of a chain that leads from a client's certificate to one of the authorities: each certificate of it
  // but that last one, which is trusted unless another authority's list has it.
  [[nodiscard]] Verdict judge(const stack_st_X509* chain, std::int64_t now) const;

  // Another one for each list that is read.
  [[nodiscard]] std::uint64_t number() const { return number_; }
  // When the first of the lists ends: from then on nobody is believed whose issuer's it is.
  [[nodiscard]] std::int64_t next_update() const { return next_update_; }
  // From when on a newer one is missed.
  [[nodiscard]] std::int64_t due() const { return due_; }
  [[nodiscard]] std::size_t revoked_count() const;
  // For one authority at least: its list was made before the other's.
  [[nodiscard]] bool is_older_than(const RevocationList& other) const;
  // An authority that has a list there has none here.
  [[nodiscard]] bool lacks_one_of(const RevocationList& other) const;

 private:
  // Length, with the sign as its highest bit, and the number (RFC 5280 section 4.1.2.2).
  using Serial = std::array<unsigned char, 21>;
  struct List {
    std::int64_t this_update = 0;
    std::int64_t next_update = 0;
    std::vector<Serial> serials;  // sorted
  };
  static constexpr std::size_t kNone = ~std::size_t{0};

  RevocationList() = default;
  [[nodiscard]] static bool set_serial(const asn1_string_st* number, Serial& out);
  [[nodiscard]] std::string read_all(std::string_view pem, std::int64_t now);
  [[nodiscard]] std::string add(X509_crl_st* list, std::int64_t now);
  [[nodiscard]] static std::string read_entries(X509_crl_st* list, std::vector<Serial>& out);
  void find_revoked_authorities();
  [[nodiscard]] std::size_t place_of(const x509_st* authority) const;
  [[nodiscard]] const List* list_of(const x509_st* authority) const;
  [[nodiscard]] static bool has(const List& list, const x509_st* certificate);

  std::vector<x509_st*> authorities_;
  std::vector<std::size_t> list_of_;  // by authority: in lists_
  std::vector<bool> is_revoked_;      // by authority: in the list of another one, or below such
  std::vector<List> lists_;
  std::uint64_t number_ = 0;
  std::int64_t next_update_ = 0;
  std::int64_t due_ = 0;
};

}  // namespace portunus::net

#include "net/revocation_list.h"

#include <openssl/pem.h>

#include <algorithm>
#include <atomic>
#include <limits>

#include "net/openssl_ptr.h"

namespace portunus::net {
namespace {

struct CrlDeleter {
  void operator()(X509_CRL* it) const { X509_CRL_free(it); }
};
using CrlPtr = std::unique_ptr<X509_CRL, CrlDeleter>;

constexpr std::int64_t kDueMax = std::int64_t{7} * 24 * 3600;

// What RFC 5280 section 5.2 has of a list that says less than all about an authority's certificates, or
// something about those of others: whoever is not in it may be revoked nevertheless.
std::string wrong_extension(const X509_CRL* list) {
  for (int i = 0; i < X509_CRL_get_ext_count(list); ++i) {
    X509_EXTENSION* const each = X509_CRL_get_ext(list, i);
    const int which = OBJ_obj2nid(X509_EXTENSION_get_object(each));
    if (which == NID_delta_crl) return "a list in it says what has changed alone (delta CRL)";
    if (which == NID_issuing_distribution_point)
      return "a list in it is for some certificates alone (issuingDistributionPoint)";
    const bool is_known = which == NID_crl_number || which == NID_authority_key_identifier;
    if (X509_EXTENSION_get_critical(each) == 1 && !is_known)
      return "a list in it has a critical extension that is not known";
  }
  return {};
}

bool has_wrong_extension(const X509_REVOKED* entry) {
  for (int i = 0; i < X509_REVOKED_get_ext_count(entry); ++i) {
    X509_EXTENSION* const each = X509_REVOKED_get_ext(entry, i);
    const int which = OBJ_obj2nid(X509_EXTENSION_get_object(each));
    if (which == NID_certificate_issuer) return true;  // another one's certificate
    if (X509_EXTENSION_get_critical(each) == 1 && which != NID_crl_reason) return true;
  }
  return false;
}

// A file that is being written ends anywhere.
std::size_t count_begins(std::string_view pem) {
  constexpr std::string_view kBegin = "-----BEGIN";
  std::size_t count = 0;
  for (std::size_t at = pem.find(kBegin); at != std::string_view::npos;
       at = pem.find(kBegin, at + kBegin.size()))
    ++count;
  return count;
}

// By name, and by signature where one name has several keys. One that has signed itself is under nobody.
bool is_issued_by(X509* certificate, X509* authority) {
  return X509_self_signed(certificate, 1) != 1 &&
         X509_check_issued(authority, certificate) == X509_V_OK &&
         X509_verify(certificate, X509_get0_pubkey(authority)) == 1;
}

bool is_signed_by(X509_CRL* list, X509* authority) {
  if (X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_subject_name(authority)) != 0) return false;
  if ((X509_get_key_usage(authority) & KU_CRL_SIGN) == 0) return false;
  EVP_PKEY* const key = X509_get0_pubkey(authority);
  return key != nullptr && X509_CRL_verify(list, key) == 1;
}

}  // namespace

RevocationList::~RevocationList() {
  for (X509* each : authorities_)
    X509_free(each);
}

bool RevocationList::set_serial(const asn1_string_st* number, Serial& out) {
  const int size = ASN1_STRING_length(number);
  if (size < 0 || static_cast<std::size_t>(size) >= out.size()) return false;
  out = {};
  const bool is_negative = (ASN1_STRING_type(number) & V_ASN1_NEG) != 0;
  out[0] = static_cast<unsigned char>(size | (is_negative ? 0x80 : 0));
  std::copy_n(ASN1_STRING_get0_data(number), size, out.begin() + 1);
  return true;
}

std::string RevocationList::read_entries(X509_CRL* list, std::vector<Serial>& out) {
  const STACK_OF(X509_REVOKED)* const entries = X509_CRL_get_REVOKED(list);
  const int count = entries == nullptr ? 0 : sk_X509_REVOKED_num(entries);
  out.reserve(static_cast<std::size_t>(std::max(0, count)));
  for (int i = 0; i < count; ++i) {
    const X509_REVOKED* const each = sk_X509_REVOKED_value(entries, i);
    Serial serial;
    if (has_wrong_extension(each)) return "an entry of a list has an extension that is not known";
    if (!set_serial(X509_REVOKED_get0_serialNumber(each), serial))
      return "an entry of a list has a number that is too long";
    out.push_back(serial);
  }
  std::ranges::sort(out);
  return {};
}

// What is wrong; empty = nothing.
std::string RevocationList::add(X509_CRL* list, std::int64_t now) {
  if (std::string wrong = wrong_extension(list); !wrong.empty()) return wrong;
  List made;
  made.this_update = seconds_of(X509_CRL_get0_lastUpdate(list));
  made.next_update = seconds_of(X509_CRL_get0_nextUpdate(list));
  if (made.next_update == 0) return "a list in it does not say how long it is good";
  if (made.this_update > now + kClockSkew) return "a list in it is of the future";
  if (made.next_update < made.this_update) return "a list in it ends before it begins";
  if (std::string wrong = read_entries(list, made.serials); !wrong.empty()) return wrong;
  bool is_signed = false;
  for (std::size_t i = 0; i < authorities_.size(); ++i) {
    if (!is_signed_by(list, authorities_[i])) continue;
    is_signed = true;
    std::size_t& place = list_of_[i];
    if (place == kNone || lists_[place].this_update < made.this_update) place = lists_.size();
  }
  if (!is_signed) return "a list in it is not signed by an authority of `client_ca`";
  lists_.push_back(std::move(made));
  return {};
}

// Those that are trusted as they stand are so no longer once another one of them has taken them back.
void RevocationList::find_revoked_authorities() {
  const std::size_t count = authorities_.size();
  is_revoked_.assign(count, false);
  bool has_changed = true;
  while (has_changed) {
    has_changed = false;
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t above = 0; above < count && !is_revoked_[i]; ++above) {
        if (above == i || !is_issued_by(authorities_[i], authorities_[above])) continue;
        const std::size_t place = list_of_[above];
        is_revoked_[i] =
            is_revoked_[above] || (place != kNone && has(lists_[place], authorities_[i]));
        has_changed = has_changed || is_revoked_[i];
      }
    }
  }
}

std::string RevocationList::read_all(std::string_view pem, std::int64_t now) {
  const OpensslPtr<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (in == nullptr) return openssl_error();
  std::size_t count = 0;
  while (const CrlPtr each{PEM_read_bio_X509_CRL(in.get(), nullptr, no_passphrase, nullptr)}) {
    if (++count > kCountMax) return "more than " + std::to_string(kCountMax) + " lists";
    if (std::string wrong = add(each.get(), now); !wrong.empty()) return wrong;
  }
  const unsigned long error = ERR_peek_last_error();
  const bool is_end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!is_end) return "a list in it is broken";
  if (count == 0) return "there is no list of revoked certificates in it (PEM, `BEGIN X509 CRL`)";
  if (count != count_begins(pem))
    return "beside its lists there is something else in it, or a part of one";
  find_revoked_authorities();
  next_update_ = due_ = std::numeric_limits<std::int64_t>::max();
  for (const std::size_t each : list_of_) {
    if (each == kNone) continue;
    const List& list = lists_[each];
    const std::int64_t early = std::min((list.next_update - list.this_update) / 4, kDueMax);
    next_update_ = std::min(next_update_, list.next_update);
    due_ = std::min(due_, list.next_update - early);
  }
  return {};
}

std::expected<SharedRevocationList, std::string> RevocationList::read(
    std::string_view pem, std::span<x509_st* const> authorities, std::int64_t now) {
  static std::atomic<std::uint64_t> last_number{0};
  ERR_clear_error();
  std::shared_ptr<RevocationList> made(new RevocationList);
  for (X509* each : authorities) {
    X509_up_ref(each);
    made->authorities_.push_back(each);
  }
  made->list_of_.assign(authorities.size(), kNone);
  made->number_ = ++last_number;
  std::string wrong = made->read_all(pem, now);
  ERR_clear_error();
  if (!wrong.empty()) return std::unexpected(std::move(wrong));
  return made;
}

std::size_t RevocationList::place_of(const x509_st* authority) const {
  for (std::size_t i = 0; i < authorities_.size(); ++i) {
    if (authorities_[i] == authority || X509_cmp(authorities_[i], authority) == 0) return i;
  }
  return kNone;
}

const RevocationList::List* RevocationList::list_of(const x509_st* authority) const {
  const std::size_t place = place_of(authority);
  return place == kNone || list_of_[place] == kNone ? nullptr : &lists_[list_of_[place]];
}

bool RevocationList::is_older_than(const RevocationList& other) const {
  return std::ranges::any_of(authorities_, [&](const x509_st* each) {
    const List* const own = list_of(each);
    const List* const theirs = other.list_of(each);
    return own != nullptr && theirs != nullptr && own->this_update < theirs->this_update;
  });
}

bool RevocationList::lacks_one_of(const RevocationList& other) const {
  return std::ranges::any_of(other.authorities_, [&](const x509_st* each) {
    return other.list_of(each) != nullptr && list_of(each) == nullptr;
  });
}

bool RevocationList::has(const List& list, const x509_st* certificate) {
  Serial serial;
  // No list has one that is longer, and what cannot be told is not believed.
  if (!set_serial(X509_get0_serialNumber(certificate), serial)) return true;
  return std::ranges::binary_search(list.serials, serial);
}

RevocationList::Verdict RevocationList::judge(const stack_st_X509* chain, std::int64_t now) const {
  const int count = chain == nullptr ? 0 : sk_X509_num(chain);
  if (count <= 0) return Verdict::unlisted;
  for (int i = 0; i + 1 < count; ++i) {
    const std::size_t issuer = place_of(sk_X509_value(chain, i + 1));
    if (issuer == kNone || list_of_[issuer] == kNone) return Verdict::unlisted;
    const List& list = lists_[list_of_[issuer]];
    if (has(list, sk_X509_value(chain, i))) return Verdict::revoked;
    if (list.next_update <= now) return Verdict::out_of_date;
  }
  const std::size_t last = place_of(sk_X509_value(chain, count - 1));
  if (last == kNone) return Verdict::unlisted;
  return is_revoked_[last] ? Verdict::revoked : Verdict::good;
}

std::size_t RevocationList::revoked_count() const {
  std::size_t count = 0;
  std::vector<bool> is_counted(lists_.size(), false);
  for (const std::size_t each : list_of_) {
    if (each == kNone || is_counted[each]) continue;
    is_counted[each] = true;
    count += lists_[each].serials.size();
  }
  return count;
}

}  // namespace portunus::net

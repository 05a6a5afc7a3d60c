// Certificates, and those of authorities, by the files that they are read from: what has not changed
// since the last time is not read again, so that a reload costs what changed. Reads on several threads
// when there is much to read. Used by one thread at a time; what it gives is immutable.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "net/certificate.h"
#include "net/client_authority.h"
#include "net/trust_store.h"

namespace portunus::net {

class CertificateReader;

struct CertificateFiles {
  std::string certificate;
  std::string key;  // may be the same
};

struct LoadedTrust {
  SharedTrust trust;  // null: see error
  std::string error;  // for the user, without the file's name
};

struct LoadedCertificate {
  SharedCertificate certificate;  // null: see error
  std::string error;              // for the user, without the file's name
  bool is_key_at_fault = false;   // the key's file could not be read
  bool is_key_for_all = false;    // everybody on this machine may read the key
};

struct ClientAuthorityFiles {
  std::string authority;
  std::string revocations;  // the lists of revoked certificates; empty: none
};

struct LoadedAuthority {
  SharedClientAuthority authority;    // null: see error
  std::string error;                  // for the user, without the file's name
  bool is_revocations_fault = false;  // of that file
  // Newer than the list that the authority has; null: that is the newest.
  SharedRevocationList revocations;
};

// A newer list for an authority that is in use.
struct FreshRevocations {
  SharedClientAuthority authority;
  std::string authority_file;
  std::string file;
  SharedRevocationList list;  // null: see error
  std::string error;          // for the user, without the file's name
};

class CertificateCache {
 public:
  static constexpr std::size_t kFileBytesMax = std::size_t{1} << 20U;
  // Of lists of revoked certificates.
  static constexpr std::size_t kListBytesMax = std::size_t{16} << 20U;

  // In the order of `files`, each of which is another pair. What could not be read is tried again each
  // time. What is not named any more is kept until retain().
  [[nodiscard]] std::vector<LoadedCertificate> load(std::span<const CertificateFiles> files);
  // Reads again those of which a file has changed since; how many.
  std::size_t refresh();
  // The same, of those that are made of one of these files.
  std::size_t refresh(std::span<const std::string> files);
  // As load(), but reads no file and asks for none; without a certificate where there was no load().
  [[nodiscard]] std::vector<LoadedCertificate> known(std::span<const CertificateFiles> files) const;
  // Forgets all certificates but these.
  void retain(std::span<const CertificateFiles> files);
  // The same for files with the certificates of authorities; what is not named any more is forgotten.
  [[nodiscard]] std::vector<LoadedTrust> load_trust(std::span<const std::string> files);
  // The same for the authorities that clients are known by, each of another pair. One that stays the
  // same stays the same object.
  [[nodiscard]] std::vector<LoadedAuthority> load_authorities(
      std::span<const ClientAuthorityFiles> files);
  // Of these (`authority` and `file`) those whose files have changed since they were read for them. What
  // is no good is told once, until the file changes again.
  [[nodiscard]] std::vector<FreshRevocations> fresh_revocations(
      std::span<const FreshRevocations> used);
  // Whether those of the last load_trust() and load_authorities() would be the same now.
  [[nodiscard]] bool is_trust_current() const;
  [[nodiscard]] bool are_authorities_current() const;

 private:
  // What a file was when it was read: another one, or another content, has another.
  struct Stamp {
    std::array<std::uint64_t, 6> words{};
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  struct Known {
    CertificateFiles files;
    Stamp certificate_stamp;
    Stamp key_stamp;
    LoadedCertificate loaded;
  };
  struct KnownTrust {
    Stamp stamp;
    LoadedTrust loaded;
  };
  struct KnownAuthority {
    ClientAuthorityFiles files;
    Stamp stamp;
    SharedClientAuthority authority;  // the last one that was good
    bool is_good = false;
    std::optional<Stamp> bad_list;  // of a load: what was no good then
  };
  // What was read last for an authority, good or not.
  struct KnownList {
    Stamp stamp;
    std::weak_ptr<const ClientAuthority> authority;
    bool is_good = false;
  };
  class File;
  [[nodiscard]] static Stamp stamp_of(const std::string& path);
  [[nodiscard]] static bool is_current(const Known& known);
  static void read(CertificateReader& reader, Known& known);
  static void read(std::span<Known* const> unread);
  static void read(const std::string& path, KnownTrust& place);
  [[nodiscard]] static std::string read(KnownAuthority& place);
  // The error for the user; empty = none.
  [[nodiscard]] static std::string read_list(const std::string& path,
                                             const ClientAuthority& authority,
                                             SharedRevocationList& out);
  [[nodiscard]] std::string load_list(const std::string& path, LoadedAuthority& loaded);

  std::unordered_map<std::string, Known> known_;
  std::unordered_map<std::string, KnownTrust> known_trust_;
  std::unordered_map<std::string, KnownAuthority> known_authorities_;  // by both files
  std::unordered_map<const ClientAuthority*, KnownList> known_lists_;
};

}  // namespace portunus::net

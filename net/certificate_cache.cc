#include "net/certificate_cache.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <thread>
#include <unordered_set>
#include <utility>

#include "net/certificate_reader.h"

namespace portunus::net {
namespace {

constexpr std::size_t kReadersMax = 8;
constexpr std::size_t kPerReader = 32;  // below, another thread costs more than it saves

std::string key_of(const CertificateFiles& files) {
  return files.certificate + '\0' + files.key;
}

}  // namespace

// A file's bytes, wiped when it goes.
class CertificateCache::File {
 public:
  File() = default;
  ~File() { OPENSSL_cleanse(text_.data(), text_.size()); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // What is wrong; empty = nothing.
  std::string read(const std::string& path, std::size_t max = kFileBytesMax) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0) return strerrordesc_np(errno);
    std::string why = read_all(file, max);
    ::close(file);
    return why;
  }
  [[nodiscard]] std::string_view text() const { return {text_.data(), text_.size()}; }
  [[nodiscard]] bool is_for_all() const { return is_for_all_; }

  static Stamp stamp_of(const struct stat& facts) {
    const auto word = [](auto number) {
      return static_cast<std::uint64_t>(number);
    };
    constexpr std::uint64_t kSecond = 1'000'000'000;
    return {{word(facts.st_dev), word(facts.st_ino), word(facts.st_size),
             word(facts.st_mtim.tv_sec) * kSecond + word(facts.st_mtim.tv_nsec),
             word(facts.st_ctim.tv_sec) * kSecond + word(facts.st_ctim.tv_nsec), 1}};
  }

 private:
  std::string read_all(int file, std::size_t max) {
    struct stat facts{};
    if (::fstat(file, &facts) != 0) return strerrordesc_np(errno);
    if (S_ISDIR(facts.st_mode)) return "is a directory";
    if (!S_ISREG(facts.st_mode)) return "not a regular file";
    if (facts.st_size > static_cast<off_t>(max))
      return "larger than " + std::to_string(max >> 20U) + "MiB";
    is_for_all_ = (facts.st_mode & S_IROTH) != 0;
    text_.resize(static_cast<std::size_t>(facts.st_size));
    std::size_t done = 0;
    while (done < text_.size()) {
      const ssize_t size = ::read(file, text_.data() + done, text_.size() - done);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return strerrordesc_np(errno);
      if (size == 0) break;  // it has become shorter
      done += static_cast<std::size_t>(size);
    }
    text_.resize(done);
    return {};
  }

  std::vector<char> text_;
  bool is_for_all_ = false;
};

CertificateCache::Stamp CertificateCache::stamp_of(const std::string& path) {
  struct stat facts{};
  return ::stat(path.c_str(), &facts) == 0 ? File::stamp_of(facts) : Stamp{};
}

bool CertificateCache::is_current(const Known& known) {
  return stamp_of(known.files.certificate) == known.certificate_stamp &&
         stamp_of(known.files.key) == known.key_stamp;
}

bool CertificateCache::is_trust_current() const {
  return std::ranges::all_of(
      known_trust_, [](const auto& each) { return stamp_of(each.first) == each.second.stamp; });
}

bool CertificateCache::are_authorities_current() const {
  return std::ranges::all_of(known_authorities_, [](const auto& each) {
    const KnownAuthority& known = each.second;
    return stamp_of(known.files.authority) == known.stamp &&
           (!known.bad_list || *known.bad_list == stamp_of(known.files.revocations));
  });
}

void CertificateCache::read(CertificateReader& reader, Known& known) {
  known.loaded = {};
  // From before they are read: what changes meanwhile is read again.
  known.certificate_stamp = stamp_of(known.files.certificate);
  known.key_stamp = stamp_of(known.files.key);
  File certificate;
  File key;
  known.loaded.error = certificate.read(known.files.certificate);
  if (!known.loaded.error.empty()) return;
  known.loaded.error = key.read(known.files.key);
  known.loaded.is_key_at_fault = !known.loaded.error.empty();
  if (known.loaded.is_key_at_fault) return;
  known.loaded.is_key_for_all = key.is_for_all();
  auto made = reader.read(certificate.text(), key.text());
  if (made) {
    known.loaded.certificate = *std::move(made);
  } else {
    known.loaded.error = std::move(made.error());
  }
}

void CertificateCache::read(std::span<Known* const> unread) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    CertificateReader reader;
    for (std::size_t at = next++; at < unread.size(); at = next++)
      read(reader, *unread[at]);
  };
  const std::size_t threads =
      std::min({kReadersMax, std::size_t{std::max(1U, std::thread::hardware_concurrency())},
                unread.size() / kPerReader});
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < threads; ++i)
    others.emplace_back(work);
  if (!unread.empty()) work();
  for (std::thread& each : others)
    each.join();
}

std::vector<LoadedCertificate> CertificateCache::load(std::span<const CertificateFiles> files) {
  std::vector<Known*> places;
  std::vector<Known*> unread;
  places.reserve(files.size());
  for (const CertificateFiles& each : files) {
    Known& place = known_[key_of(each)];  // stays where it is when others come
    places.push_back(&place);
    if (place.loaded.certificate != nullptr && is_current(place)) continue;
    place.files = each;
    unread.push_back(&place);
  }
  read(unread);
  std::vector<LoadedCertificate> out;
  out.reserve(places.size());
  for (const Known* place : places)
    out.push_back(place->loaded);
  return out;
}

std::size_t CertificateCache::refresh() {
  std::vector<Known*> changed;
  for (auto& [key, known] : known_) {
    if (!is_current(known)) changed.push_back(&known);
  }
  read(changed);
  return changed.size();
}

std::size_t CertificateCache::refresh(std::span<const std::string> files) {
  const std::unordered_set<std::string_view> wanted(files.begin(), files.end());
  std::vector<Known*> changed;
  for (auto& [key, known] : known_) {
    if ((wanted.contains(known.files.certificate) || wanted.contains(known.files.key)) &&
        !is_current(known))
      changed.push_back(&known);
  }
  read(changed);
  return changed.size();
}

std::vector<LoadedCertificate> CertificateCache::known(
    std::span<const CertificateFiles> files) const {
  std::vector<LoadedCertificate> out;
  out.reserve(files.size());
  for (const CertificateFiles& each : files) {
    const auto found = known_.find(key_of(each));
    out.push_back(found == known_.end() ? LoadedCertificate{} : found->second.loaded);
  }
  return out;
}

void CertificateCache::retain(std::span<const CertificateFiles> files) {
  std::unordered_set<std::string> wanted;
  wanted.reserve(files.size());
  for (const CertificateFiles& each : files)
    wanted.insert(key_of(each));
  std::erase_if(known_, [&](const auto& each) { return !wanted.contains(each.first); });
}

void CertificateCache::read(const std::string& path, KnownTrust& place) {
  File file;
  place.stamp = stamp_of(path);
  place.loaded.error = file.read(path);
  if (!place.loaded.error.empty()) return;
  auto made = TrustStore::read(file.text());
  if (made) {
    place.loaded.trust = *std::move(made);
  } else {
    place.loaded.error = std::move(made.error());
  }
}

// What holds the same is the same: connections are compared by it.
std::string CertificateCache::read(KnownAuthority& place) {
  File file;
  place.is_good = false;
  place.stamp = stamp_of(place.files.authority);
  if (std::string wrong = file.read(place.files.authority); !wrong.empty()) return wrong;
  auto made = ClientAuthority::read(file.text());
  if (!made) return std::move(made.error());
  const bool is_same =
      place.authority != nullptr && place.authority->fingerprint() == (*made)->fingerprint();
  if (!is_same) place.authority = *std::move(made);
  place.is_good = true;
  return {};
}

std::string CertificateCache::read_list(const std::string& path,
                                        const ClientAuthority& authority,
                                        SharedRevocationList& out) {
  File file;
  if (std::string wrong = file.read(path, kListBytesMax); !wrong.empty()) return wrong;
  auto made = RevocationList::read(file.text(), authority.certificates(), std::time(nullptr));
  if (!made) return std::move(made.error());
  out = *std::move(made);
  return {};
}

std::vector<LoadedTrust> CertificateCache::load_trust(std::span<const std::string> files) {
  std::unordered_map<std::string, KnownTrust> wanted;
  std::vector<LoadedTrust> out;
  out.reserve(files.size());
  for (const std::string& path : files) {
    auto node = known_trust_.extract(path);
    const bool is_known = !node.empty() && node.mapped().loaded.trust != nullptr &&
                          stamp_of(path) == node.mapped().stamp;
    KnownTrust& place = wanted[path];
    if (is_known) {
      place = std::move(node.mapped());
    } else {
      read(path, place);
    }
    out.push_back(place.loaded);
  }
  known_trust_ = std::move(wanted);
  return out;
}

std::vector<LoadedAuthority> CertificateCache::load_authorities(
    std::span<const ClientAuthorityFiles> files) {
  std::unordered_map<std::string, KnownAuthority> wanted;
  std::vector<LoadedAuthority> out;
  for (const ClientAuthorityFiles& each : files) {
    const std::string key = each.authority + '\0' + each.revocations;
    KnownAuthority& place = wanted[key];
    if (const auto known = known_authorities_.find(key); known != known_authorities_.end())
      place = known->second;
    place.files = each;
    place.bad_list.reset();
    LoadedAuthority& loaded = out.emplace_back();
    if (!place.is_good || place.stamp != stamp_of(each.authority)) loaded.error = read(place);
    if (!loaded.error.empty()) continue;
    loaded.authority = place.authority;
    if (each.revocations.empty()) continue;
    const Stamp list_stamp = stamp_of(each.revocations);
    loaded.error = load_list(each.revocations, loaded);
    loaded.is_revocations_fault = !loaded.error.empty();
    if (!loaded.is_revocations_fault) continue;
    loaded.authority = nullptr;
    place.bad_list = list_stamp;
  }
  known_authorities_ = std::move(wanted);
  return out;
}

// An authority that has no list yet is in nobody's use, and takes it here.
std::string CertificateCache::load_list(const std::string& path, LoadedAuthority& loaded) {
  const Stamp stamp = stamp_of(path);
  KnownList& known = known_lists_[loaded.authority.get()];
  const bool has_list = loaded.authority->revocations() != nullptr;
  if (has_list && known.is_good && known.stamp == stamp) return {};
  SharedRevocationList list;
  if (std::string wrong = read_list(path, *loaded.authority, list); !wrong.empty()) return wrong;
  if (has_list) {
    loaded.revocations = std::move(list);
  } else {
    static_cast<void>(loaded.authority->exchange_revocations(std::move(list)));
    known = {stamp, loaded.authority, true};
  }
  return {};
}

std::vector<FreshRevocations> CertificateCache::fresh_revocations(
    std::span<const FreshRevocations> used) {
  std::erase_if(known_lists_, [](const auto& each) { return each.second.authority.expired(); });
  std::vector<FreshRevocations> out;
  for (const FreshRevocations& each : used) {
    const Stamp stamp = stamp_of(each.file);
    KnownList& known = known_lists_[each.authority.get()];
    // One that was no good may be so by now: it was of the future, or could not be read.
    if (known.stamp == stamp && known.is_good) continue;
    FreshRevocations fresh = each;
    fresh.error = read_list(each.file, *each.authority, fresh.list);
    known = {stamp, each.authority, fresh.error.empty()};
    out.push_back(std::move(fresh));
  }
  return out;
}

}  // namespace portunus::net

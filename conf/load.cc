#include "conf/load.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "conf/draft.h"
#include "conf/load_certificates.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/source.h"
#include "conf/tree.h"
#include "conf/validate.h"

namespace portunus::conf {
namespace {

constexpr int kIncludeDepthMax = 8;

class Loader {
 public:
  explicit Loader(const LoadOptions& options = {}) : options_(options), sources_(options.instead) {
    draft_.is_for_root = options.is_for_root;
  }

  LoadResult load_file(const std::string& path) {
    seen_.insert(canonical(path));
    if (const auto file = sources_.read(path)) {
      read(*file, 0);
    } else {
      report_.error({}, file.error());
    }
    return finish();
  }

  LoadResult load_text(std::string_view text, std::string name) {
    may_include_ = draft_.may_read_files = options_.reads_certificates = false;
    if (text.size() > kFileBytesMax) {
      sources_.add(std::move(name), {});
      report_.error({}, "larger than " + std::to_string(kFileBytesMax >> 20U) + "MiB");
    } else {
      read(sources_.add(std::move(name), std::string(text)), 0);
    }
    return finish();
  }

 private:
  [[nodiscard]] std::string canonical(const std::string& path) const {
    if (options_.instead != nullptr) return path;  // links were looked at when it was good
    std::error_code error;
    const auto whole = std::filesystem::weakly_canonical(path, error);
    return error ? path : whole.string();
  }

  void read(std::uint32_t file, int depth) {
    std::vector<NameUse> includes;
    {
      Tree tree;
      const Node* root = tree.parse(sources_, file, report_);
      if (root == nullptr) return;
      if (root->kind == NodeKind::null) {
        // A file of comments alone is usual in a folder of included ones.
        if (depth == 0) {
          report_.error({file, 0, 0}, "the file is empty");
        } else {
          report_.warning({file, 0, 0}, "the file is empty");
        }
        return;
      }
      check_repeated(*root);
      Reader reader(sources_, report_, draft_);
      reader.read_section(root_section(), *root, &draft_);
      includes = std::exchange(draft_.includes, {});
    }
    for (const NameUse& use : includes)
      include(file, use, depth);
  }

  // Keys that several files cannot share.
  void check_repeated(const Node& root) {
    for (const Key& key : root_section().keys) {
      const Node* name = key.may_repeat ? nullptr : find_key(root, key.name);
      if (name == nullptr) continue;
      const auto [known, is_new] = root_keys_.emplace(key.name, name->place);
      if (is_new || known->second.file == name->place.file) continue;
      report_.error(name->place, "`" + std::string(key.name) + "` stands in another file already",
                    "at " + sources_.describe(known->second));
    }
  }

  void include(std::uint32_t file, const NameUse& use, int depth) {
    if (!may_include_) {
      report_.error(use.place, "`include` works in files only");
      return;
    }
    if (depth >= kIncludeDepthMax) {
      report_.error(use.place,
                    "`include`: more than " + std::to_string(kIncludeDepthMax) + " levels deep");
      return;
    }
    const std::string including = sources_.name(file);
    const std::string folder = folder_of_include(including, use.name);
    if (std::ranges::find(folders_, folder) == folders_.end()) folders_.push_back(folder);
    for (const std::string& path : sources_.find_included(including, use.name)) {
      if (!seen_.insert(canonical(path)).second) {
        report_.error(use.place, "`include`: " + path + " is read already");
        continue;
      }
      if (const auto included = sources_.read(path)) {
        read(*included, depth + 1);
      } else {
        report_.error(use.place, "`include`: " + path + ": " + included.error());
        if (sources_.size() > kFilesMax) return;
      }
    }
  }

  // From 64 bits of what is known but for a secret, the secret can be computed.
  [[nodiscard]] std::string shown_hash() const {
    std::unordered_set<std::uint32_t> secrets;
    for (const auto& [path, file] : draft_.secret_files)
      secrets.insert(file);
    Sources shown;
    for (std::uint32_t file = 0; file < sources_.size(); ++file) {
      if (!secrets.contains(file)) shown.add(sources_.name(file), std::string(sources_.text(file)));
    }
    return shown.hash();
  }

  LoadResult finish() {
    LoadResult result;
    if (options_.reads_certificates) {
      load_certificates(draft_, report_, options_.certificates, options_.instead != nullptr);
    }
    validate(draft_, sources_, report_);
    result.diagnostics = report_.finish(sources_);
    result.files = sources_.names();
    result.folders = std::move(folders_);
    result.certificate_files = certificate_files(draft_.model);
    result.certificates_hash = certificates_hash(draft_.model.certificates, draft_.model.pools,
                                                 draft_.model.client_authorities);
    result.hash = sources_.hash();
    result.shown_hash = shown_hash();
    if (!report_.has_errors()) {
      result.model = std::make_unique<const Model>(std::move(draft_.model));
      if (options_.keeps_copy) result.copy = SealedFiles::make(sources_.parts());
    }
    return result;
  }

  LoadOptions options_;
  Sources sources_;
  Report report_;
  Draft draft_;
  bool may_include_ = true;
  std::unordered_map<std::string_view, Place> root_keys_;
  std::unordered_set<std::string> seen_;  // canonical paths
  std::vector<std::string> folders_;
};

}  // namespace

LoadResult load_file(const std::string& path, const LoadOptions& options) {
  return Loader(options).load_file(path);
}

std::string hash_of_files(const std::vector<std::string>& files) {
  Sources sources;
  for (const std::string& file : files) {
    if (!sources.read(file)) return {};
  }
  return sources.hash();
}

bool have_changed_since(const std::vector<std::string>& files, std::uint64_t time_us) {
  return std::ranges::any_of(files, [&](const std::string& file) {
    struct stat about{};
    if (::stat(file.c_str(), &about) != 0) return true;
    // Of the inode: what takes a file's place by a rename has an old time of its contents.
    return static_cast<std::uint64_t>(about.st_ctim.tv_sec) * 1'000'000 +
               static_cast<std::uint64_t>(about.st_ctim.tv_nsec) / 1'000 >=
           time_us;
  });
}

LoadResult load_text(std::string_view text, std::string name) {
  return Loader().load_text(text, std::move(name));
}

}  // namespace portunus::conf

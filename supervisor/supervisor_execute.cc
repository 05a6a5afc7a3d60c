// The last step of an upgrade: this process goes on as the new program, with its children and sockets.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "base/log.h"
#include "base/version.h"
#include "supervisor/code_pages.h"
#include "supervisor/paths.h"
#include "supervisor/supervisor.h"

extern char** environ;  // NOLINT: as environ(7) has it

namespace portunus::supervisor {

using base::LogLevel;

Resume Supervisor::save() const {
  Resume resume;
  resume.plan = plan_;
  resume.sockets = listeners_.sockets();
  for (const InheritedSockets::Socket& socket : inherited_.sockets())
    resume.inherited.push_back({socket.address, socket.descriptor});
  const auto add = [&](const ProxyProcess& proxy) {
    if (proxy.is_running() && proxy.channel() >= 0) {
      resume.proxies.push_back({proxy.pid(), proxy.channel(), proxy.started_ns()});
    }
  };
  add(*proxy_);
  for (const auto& each : retiring_)
    add(*each);
  resume.services = services_->save();
  resume.restarts = restarts_;
  resume.upgrade_client = commands_->upgrade_client();
  const auto save_copy = [](const GoodFiles::Copy& copy) {
    return SavedFiles{copy.files.descriptor(), copy.hash};
  };
  resume.good_files = save_copy(good_files_.good());
  if (good_files_.proven().plan == plan_number_)
    resume.proven_files = save_copy(good_files_.proven());
  resume.memory = keeper_->descriptor();
  resume.owes_reload = owes_reload_;
  return resume;
}

namespace {

void keep_open(const std::vector<int>& descriptors, bool over_execution) {
  for (const int each : descriptors)
    ::fcntl(each, F_SETFD, over_execution ? 0 : FD_CLOEXEC);
}

std::vector<int> descriptors_of(const Resume& resume) {
  std::vector<int> all;
  all.reserve(resume.sockets.size() + resume.inherited.size());
  for (const OpenSocket& socket : resume.sockets)
    all.push_back(socket.descriptor);
  for (const OpenSocket& socket : resume.inherited)
    all.push_back(socket.descriptor);
  for (const SavedProxy& proxy : resume.proxies)
    all.push_back(proxy.channel);
  for (const SavedService& service : resume.services) {
    for (const ReplicaRecord& replica : service.replicas) {
      if (replica.output >= 0) all.push_back(replica.output);
    }
  }
  for (const SavedFiles& files : {resume.good_files, resume.proven_files}) {
    if (files.descriptor >= 0) all.push_back(files.descriptor);
  }
  if (resume.upgrade_client >= 0) all.push_back(resume.upgrade_client);
  if (resume.memory >= 0) all.push_back(resume.memory);
  return all;
}

// A file in memory, to be read by whoever has the descriptor; -1 when there is none to be had.
int memory_file(std::string_view text) {
  const int descriptor = ::memfd_create("portunus", MFD_CLOEXEC);
  if (descriptor < 0) return -1;
  if (::write(descriptor, text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::lseek(descriptor, 0, SEEK_SET) != 0) {
    ::close(descriptor);
    return -1;
  }
  return descriptor;
}

std::string read_all(int descriptor) {
  std::string text;
  std::array<char, std::size_t{16} * 1024> buffer;
  ssize_t size = 0;
  while ((size = ::read(descriptor, buffer.data(), buffer.size())) > 0)
    text.append(buffer.data(), static_cast<std::size_t>(size));
  return text;
}

}  // namespace

// Else it is tried again when something has changed: what cannot be handed over is waited for.
bool Supervisor::is_execution_possible() {
  if (next_ || asker_ != nullptr || !proxy_->is_running() || !proxy_->is_ready()) return false;
  const std::vector<Service*> services = services_->all();
  const auto rolling = std::ranges::find_if(services, &Service::is_rolling);
  std::string what;
  if (rolling != services.end()) {
    what = "the roll of service " + (*rolling)->name() + " is over";
  } else if (commands_->has_waiters()) {
    what = "no command waits for a service any more";
  }
  if (what.empty()) return true;
  if (is_execution_due_) return false;  // it has been told
  const std::string line = "the supervisor itself follows as soon as " + what;
  base::log(LogLevel::info, "supervisor", "upgrade: {}", line);
  commands_->tell_upgrade(line);
  return false;
}

// The same process, with its children, goes on as the new program. Signals stay blocked, and those
// that come meanwhile wait.
void Supervisor::execute() {
  if (state_ != State::running) return;
  const std::uint64_t now = base::monotonic_ns();
  if (now >= reload_deadline_ns_) refuse_reload();
  is_execution_due_ = !is_execution_possible();
  if (is_execution_due_) {
    if (asker_ != nullptr) execution_->arm((reload_deadline_ns_ - now) / 1'000'000 + 1);
    return;
  }
  const Resume resume = save();
  const int file = memory_file(encode(resume));
  if (file < 0) {
    stay_as_it_is("no memory");
    return;
  }
  std::vector<int> kept = descriptors_of(resume);
  kept.push_back(file);
  keep_open(kept, true);
  keeper_->flush();
  notifier_.give_back();
  const std::string number = std::to_string(file);
  const std::array<const char*, 7> words{
      options_.program.c_str(), "run",  "-c", options_.config_file.c_str(), "--resume",
      number.c_str(),           nullptr};
  base::stop_log();
  ::execve(words[0], const_cast<char* const*>(words.data()), environ);
  const int failure = errno;
  keep_open(kept, false);
  ::close(file);
  Notifier::take_back();
  std::string why;
  static_cast<void>(open_log(plan_, why));
  stay_as_it_is(options_.program + ": " + strerrordesc_np(failure));
}

// The new proxy serves all the same.
void Supervisor::stay_as_it_is(const std::string& why) {
  is_proxy_newer_ = true;
  const std::string line = "the new proxy serves, but the supervisor stays what it is: " + why;
  base::log(LogLevel::error, "supervisor", "upgrade: {}", line);
  commands_->end_upgrade(std::unexpected(line));
}

bool Supervisor::resume() {
  auto left = decode_resume(read_all(options_.resume));
  ::close(options_.resume);
  std::string why = left ? "" : left.error();
  if (!left || left->proxies.empty()) {
    base::log(LogLevel::error, "supervisor", "cannot go on: {}", why);
    return false;
  }
  keep_open(descriptors_of(*left), false);
  plan_ = std::move(left->plan);
  static_cast<void>(find_user(plan_, identity_, why));
  static_cast<void>(open_log(plan_, why));
  listeners_.adopt(std::move(left->sockets));
  for (const OpenSocket& socket : left->inherited)
    inherited_.add(socket.address, socket.descriptor);
  restarts_ = left->restarts;
  const auto copy_of = [](const SavedFiles& saved) {
    return GoodFiles::Copy{conf::SealedFiles(saved.descriptor), saved.hash, 0};
  };
  good_files_.restore(copy_of(left->good_files), copy_of(left->proven_files), base::monotonic_ns());
  for (const SavedProxy& saved : left->proxies) {
    auto proxy = std::make_unique<ProxyProcess>(loop_, reaper_, *this);
    proxy->adopt(saved.pid, saved.channel, saved.started_ns);
    if (!proxy_) {
      proxy_ = std::move(proxy);
    } else {
      retiring_.push_back(std::move(proxy));
    }
  }
  state_ = State::running;
  enter_cgroup();
  make_logs_folder();
  commands_->open(state_folder(plan_.state, options_.config_file));
  keeper_->adopt(left->memory);
  keeper_->open(state_folder(plan_.state, options_.config_file));
  services_->restore(std::move(left->services));
  services_->apply(plan_.services);
  tell_members();                                     // what has drained is told again
  if (notifier_.alive_every_ms() > 0) on_watchdog();  // another upgrade may come before the next
  const std::string line = fmt::format("goes on as {}", base::kRevision);
  base::log(LogLevel::info, "supervisor", "{}", line);
  if (left->upgrade_client >= 0)
    ServiceCommands::answer_upgrade(left->upgrade_client, "the supervisor " + line);
  owes_reload_ = left->owes_reload;
  make_up_for_reload();
  reaper_.reap();  // what has ended meanwhile
  release_code_pages();
  return true;
}

}  // namespace portunus::supervisor

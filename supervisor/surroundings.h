// What the replicas of all services share, and what outlives them: owned by the supervisor, on whose
// thread it is used. A plain value.
#pragma once

#include <uv.h>

#include <string>

#include "supervisor/whole_cpus.h"

namespace portunus::supervisor {

class CgroupTree;
class LineHandler;
class Reaper;

struct Surroundings {
  Surroundings(uv_loop_t& the_loop, Reaper& the_reaper) : loop(the_loop), reaper(the_reaper) {}

  uv_loop_t& loop;
  Reaper& reaper;
  LineHandler* lines = nullptr;         // of what replicas write; null: that goes where ours goes
  std::string logs_folder;              // of their files; must be there. Empty = no files
  const CgroupTree* cgroups = nullptr;  // null: limits are rlimits and whole CPUs
  CpuHolders cpu_holders;               // replicas that are kept to whole CPUs
};

}  // namespace portunus::supervisor

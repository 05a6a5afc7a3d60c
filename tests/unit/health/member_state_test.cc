#include "health/member_state.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace portunus::health {
namespace {

conf::Health settings_of(std::uint32_t rise, std::uint32_t fall) {
  conf::Health settings;
  settings.rise = rise;
  settings.fall = fall;
  settings.jitter_ratio = 0;
  return settings;
}

// One letter a probe: + good, - bad, o probes off, ! suspicion, n new settings. The answer has one
// letter for the state after each.
std::string play(const std::string& events, const conf::Health& settings) {
  StateMachine machine;
  std::string states;
  for (const char event : events) {
    const MemberState before = machine.state();
    bool changed = false;
    switch (event) {
      case '+':
        changed = machine.on_probe(true, settings);
        break;
      case '-':
        changed = machine.on_probe(false, settings);
        break;
      case 'o':
        changed = machine.on_probes_off();
        break;
      case '!':
        machine.on_suspect();
        break;
      case 'n':
        machine.on_new_settings();
        break;
    }
    EXPECT_EQ(changed, before != machine.state()) << events;
    states += name_of(machine.state())[0];
  }
  return states;
}

TEST(StateMachine, Table) {
  struct Row {
    std::uint32_t rise, fall;
    const char* events;
    const char* states;
  };
  const std::vector<Row> rows{
      {2, 3, "+", "u"},              // one good probe is enough from starting
      {2, 3, "-", "d"},              // one bad one too
      {2, 3, "+--+---", "uuuuuud"},  // a good probe ends the row of failures
      {2, 3, "-+-++", "ddddu"},      // a bad one the row of successes
      {1, 1, "+-+-", "udud"},
      {5, 2, "+--++++-+++++",
       "uudddddddddd"
       "u"},
      {2, 3, "o", "u"},
      {2, 3, "-o", "du"},
      {2, 3, "+--o---", "uuuuuud"},
      {2, 3, "+--n--", "uuuuuu"},  // new settings: the row begins anew, the state stays
      {2, 3, "-+n+", "dddd"},
      {2, 3, "!+!--", "suuuu"},  // a suspicion alone changes nothing
      {2, 3, "!!!", "sss"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(play(row.events, settings_of(row.rise, row.fall)), row.states) << row.events;
  }
}

TEST(StateMachine, CountsRows) {
  const conf::Health settings = settings_of(2, 3);
  StateMachine machine;
  machine.on_probe(true, settings);
  machine.on_probe(true, settings);
  EXPECT_EQ(machine.successes(), 2U);
  EXPECT_EQ(machine.failures(), 0U);
  for (int i = 0; i < 5; ++i)
    machine.on_probe(false, settings);
  EXPECT_EQ(machine.successes(), 0U);
  EXPECT_EQ(machine.failures(), 5U);
}

TEST(StateMachine, SuspicionEndsWithAGoodProbe) {
  const conf::Health settings = settings_of(2, 3);
  StateMachine machine;
  machine.on_suspect();
  EXPECT_FALSE(machine.is_suspect());  // not up: nobody sends anything there
  machine.on_probe(true, settings);
  machine.on_suspect();
  machine.on_probe(false, settings);
  EXPECT_TRUE(machine.is_suspect());
  machine.on_probe(true, settings);
  EXPECT_FALSE(machine.is_suspect());
}

std::uint64_t delay_after(const std::string& events,
                          const conf::Health& settings,
                          double chance = 0.5) {
  StateMachine machine;
  for (const char event : events) {
    if (event == '!') {
      machine.on_suspect();
    } else {
      machine.on_probe(event == '+', settings);
    }
  }
  return machine.next_probe_ms(settings, chance);
}

TEST(StateMachine, NextProbe) {
  conf::Health settings = settings_of(2, 3);
  settings.interval = conf::Milliseconds{10'000};
  EXPECT_EQ(delay_after("", settings), 1'000U);
  EXPECT_EQ(delay_after("+", settings, 0.0), 1'000U);  // spread over fast to interval
  EXPECT_EQ(delay_after("+", settings, 0.5), 5'500U);
  EXPECT_EQ(delay_after("++", settings), 10'000U);
  EXPECT_EQ(delay_after("++-", settings), 1'000U);
  EXPECT_EQ(delay_after("++!-", settings), 500U);
  EXPECT_EQ(delay_after("++!--+", settings), 10'000U);
  // Down: 1, 2, 4, 8 s and then the interval.
  EXPECT_EQ(delay_after("++---", settings), 1'000U);
  EXPECT_EQ(delay_after("++----", settings), 2'000U);
  EXPECT_EQ(delay_after("++-----", settings), 4'000U);
  EXPECT_EQ(delay_after("++------", settings), 8'000U);
  EXPECT_EQ(delay_after("++-------", settings), 10'000U);
  EXPECT_EQ(delay_after("++" + std::string(500, '-'), settings), 10'000U);
  EXPECT_EQ(delay_after("-", settings), 1'000U);
  // A success among them: fast, and the next failure begins at fast again.
  EXPECT_EQ(delay_after("-----+", settings), 1'000U);
  EXPECT_EQ(delay_after("-----+-", settings), 2'000U);
}

TEST(StateMachine, NextProbeOfShortAndLongIntervals) {
  conf::Health settings = settings_of(2, 3);
  settings.interval = conf::Milliseconds{100};
  EXPECT_EQ(delay_after("++-", settings), 100U);
  EXPECT_EQ(delay_after("+", settings, 0.9), 100U);
  settings.interval = conf::Milliseconds{2'000};
  EXPECT_EQ(delay_after("++-", settings), 500U);
  settings.interval = conf::Milliseconds{60'000};
  EXPECT_EQ(delay_after("++-", settings), 6'000U);
  EXPECT_EQ(delay_after("++!-", settings), 500U);
}

TEST(StateMachine, JitterEitherWay) {
  conf::Health settings = settings_of(2, 3);
  settings.jitter_ratio = 0.1;
  EXPECT_EQ(delay_after("++", settings, 0.0), 9'000U);
  EXPECT_EQ(delay_after("++", settings, 0.5), 10'000U);
  EXPECT_EQ(delay_after("++", settings, 0.75), 10'500U);
  settings.jitter_ratio = 1;
  EXPECT_GE(delay_after("++", settings, 0.0), 1U);
  EXPECT_EQ(StateMachine::repeat_ms(settings, 0.5), 1'000U);
}

}  // namespace
}  // namespace portunus::health

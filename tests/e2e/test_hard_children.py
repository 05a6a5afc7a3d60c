"""Services that misbehave: they leak, hang, fork, ignore TERM, crash at the start, flood their output. Real programs, in
C++ and for node; what the supervisor does with each."""

import re
import signal
import time

import pytest

from support import hard_workers as hard
from support.hard_workers import PATIENT, PROGRAMS, ask_to, command, replicas_of, restarts, tell, wait_for_running
from support.ports import free_ports
from support.waiting import SANITIZER, SCALE, NotInTime, wait_until, wait_until_still
from test_service_logs import wait_for_files

MIB = 1024 * 1024
both = pytest.mark.parametrize("program", ["cpp", pytest.param("node", marks=pytest.mark.skipif(
    "node" not in PROGRAMS, reason="node is not installed"))])


@pytest.fixture
def started(portunus):
    """Replicas that are well, and their ports."""

    def make(program="cpp", replicas=1, **changes):
        door = portunus(hard.config(free_ports(replicas + 1), program, replicas=replicas, **changes))
        wait_for_running(door, replicas)
        return door, replicas_of(door)

    return make


def told_in_order(door, *parts):
    """The log says so; it is written a moment later than things happen."""

    def missing():
        text, at = door.log(), 0
        for part in parts:
            found = re.compile(part).search(text, at)
            if not found:
                return part, text[at:]
            at = found.end()
        return None

    try:
        wait_until(lambda: missing() is None, "the log tells it all, in order")
    except NotInTime:
        part, after = missing() or ("", "")
        assert not part, f"{part} is not among what was logged last: {after}"


def wait_for_another(door, port, pid):
    wait_until(lambda: replicas_of(door).get(port, pid) != pid, "another process has its place", PATIENT)
    wait_until(lambda: restarts(door) > 0, "the proxy has heard of it")
    wait_for_running(door, len(replicas_of(door)))


def wait_until_gone(pids):
    """Who has been killed has still to come to its end."""
    left = list(pids)
    wait_until(lambda: not [each for each in left if hard.is_alive(each)], "all of them have ended")


@pytest.mark.smoke
def test_a_leak_ends_by_its_limit(started):
    door, replicas = started(limits={"memory": "64MiB"})
    (port, pid), = replicas.items()
    assert tell(port, "/leak") is None, "it ends without an answer"
    wait_for_another(door, port, pid)
    assert restarts(door, "oom") == 1, door.log()
    assert restarts(door) == 1
    told_in_order(door, r"service web replica 0.*: oom: signal \d")
    assert door.get().status == 200


@pytest.mark.skipif("node" not in PROGRAMS, reason="node is not installed")
def test_a_leak_ends_by_the_bound_of_nodes_heap(started):
    """Address space is no measure for node, so it has no `limits.memory` here: its own bound of its heap ends it."""
    door, replicas = started("node", options=["--max-old-space-size=24"])
    (port, pid), = replicas.items()
    with ask_to(port, "/leak"):
        wait_for_another(door, port, pid)
    assert restarts(door, "crashed") == 1
    told_in_order(door, "heap out of memory")


@pytest.mark.smoke
@both
def test_what_hangs_is_drained_then_told_to_stop_then_killed_then_started(started, program):
    door, replicas = started(program, replicas=2, stop={"grace": "2s"})
    port, pid = next(iter(replicas.items()))
    tell(port, "/stubborn")
    with ask_to(port, "/hang"):
        wait_for_another(door, port, pid)
    assert restarts(door, "sick") == 1
    label = rf"service web replica \d \(port {port}\): "
    told_in_order(door, label + r"sick: \d failed probes: ", label + rf"restart of pid {pid}, sick: ",
                  label + rf"pid {pid} does not stop within 2000 ms: SIGKILL",
                  label + rf"pid {pid} ended with signal 9", label + r"started as pid")
    # Two processes write the log: lines of the same moment have no order. Between these is the grace.
    told_in_order(door, rf"127\.0\.0\.1:{port}\b.*draining", label + rf"pid {pid} does not stop")
    assert replicas.items() - {(port, pid)} <= replicas_of(door).items(), "the other one is as it was"
    assert all(door.get("/").status == 200 for _ in range(8))


@pytest.mark.smoke
@both
def test_forked_children_are_gone_after_a_stop(started, program):
    door, replicas = started(program, replicas=2)
    families = {}
    for port, pid in replicas.items():
        tell(port, "/fork/3")
        wait_until(lambda leader=pid: len(hard.group_of(leader)) >= 7, "it has children, and they have", PATIENT)
        families[pid] = hard.group_of(pid)
    command(door, "stop", "web")
    wait_until(lambda: door.metric("portunus_supervisor_replicas", service="web", kind="running") == 0, "it stops", PATIENT)
    wait_until_gone(each for family in families.values() for each in family)


@pytest.mark.smoke
def test_forked_children_are_gone_before_a_crashed_parent_is_started_again(started):
    door, replicas = started()
    (port, pid), = replicas.items()
    tell(port, "/fork/3")
    wait_until(lambda: len(hard.group_of(pid)) == 7, "it has children", PATIENT)
    family = hard.group_of(pid)
    tell(port, "/abort")
    wait_for_another(door, port, pid)
    wait_until_gone(family)
    assert restarts(door, "crashed") == 1


@pytest.mark.smoke
@both
def test_what_flees_from_its_group_is_gone_with_the_supervisor(started, program):
    door, replicas = started(program)
    (port, pid), = replicas.items()
    before = set(hard.below(pid))
    tell(port, "/flee")
    wait_until(lambda: any((stat := hard.stat_of(each)) and stat[2] == str(each) for each in set(hard.below(pid)) - before),
               "it has fled", PATIENT)
    fled = hard.below(pid)
    door.signal(signal.SIGTERM)
    assert door.wait() == 0
    assert not [each for each in fled if hard.is_alive(each)]


@pytest.mark.smoke
@both
def test_what_ignores_term_is_killed_after_its_grace(started, program):
    door, replicas = started(program, stop={"grace": "700ms"})
    (port, pid), = replicas.items()
    tell(port, "/stubborn")
    begin = time.monotonic()
    command(door, "stop", "web")
    wait_until(lambda: not hard.is_alive(pid), "it has ended")
    assert time.monotonic() - begin >= 0.7, "it had its grace"
    told_in_order(door, rf"pid {pid} does not stop within 700 ms: SIGKILL", rf"pid {pid} ended with signal 9")


# Of one CPU, that supervisor and proxy together may take while three replicas crash at every start: about 0.01 on a
# quiet machine. The bound is for a loop that spins, on any machine.
CRASH_LOOP_SHARE = 0.25


def test_crashes_at_the_start_cost_next_to_nothing(portunus):
    door = portunus(hard.config(free_ports(4), words=["crash"], replicas=3,
                                restart={"backoff": "50ms..500ms", "max_in_window": "1000 in 1m"}))
    pids = [door.supervisor_pid, door.pid]
    wait_until(lambda: restarts(door, "crashed") >= 12, "the back-off has grown", PATIENT)
    cpu, begin, count = sum(map(hard.cpu_seconds, pids)), time.monotonic(), restarts(door, "crashed")
    time.sleep(4)  # what is measured is what happens in a time
    share = (sum(map(hard.cpu_seconds, pids)) - cpu) / (time.monotonic() - begin)
    count = restarts(door, "crashed") - count
    elapsed = time.monotonic() - begin + 2  # the proxy may have been late with what it had counted at the begin
    assert 3 <= count <= 3 * elapsed / 0.4 + 3, f"{count} starts: at most one in 80 % of 500 ms for each replica"
    if not SANITIZER:
        assert share < CRASH_LOOP_SHARE, f"{share:.1%} of a CPU"
    told_in_order(door, "crashed: signal 6")


@both
def test_a_flood_of_output_blocks_nobody_for_long(started, program):
    """64 MiB as fast as it can write them."""
    door, replicas = started(program, log={"max_size": "1MiB", "keep": 2}, health={**hard.HEALTH, "fall": 100})
    (port, pid), = replicas.items()
    before = hard.status_bytes(door.supervisor_pid, "VmHWM")
    answer = tell(port, "/flood/64")
    assert answer, "it could write all of it"
    if program == "cpp":
        everything, longest = map(int, answer.split())
        assert longest < 6000 * SCALE, f"one write took {longest} ms"
        assert everything < 20_000 * SCALE
    if not SANITIZER:
        assert hard.status_bytes(door.supervisor_pid, "VmHWM") - before < 8 * MIB
    assert all(size <= MIB for size in wait_for_files(door.folder / "state" / "logs", 3).values())
    assert hard.is_alive(pid), "it is the same process"


CYCLES = 1000
MEMORY_BOUND = MIB // 4  # of resident memory, for each of the two; some pages are seen


def test_a_thousand_crashes_leave_nothing_behind(portunus):
    """Each of them as a member that joins its pool and leaves it. Measured while the service is stopped, before and
    after."""
    door = portunus(hard.config(free_ports(9), words=["exit=1"], replicas=8,
                                restart={"backoff": "10ms..10ms", "max_in_window": "1000000 in 1m"}))
    pids = {"supervisor": door.supervisor_pid, "proxy": door.pid}

    def run_until(count):
        wait_until(lambda: restarts(door, "crashed") >= count, f"{count} crashes", 50 * SCALE)
        command(door, "stop", "web")
        wait_until(lambda: hard.below(pids["supervisor"]) == [pids["proxy"]], "nothing runs, nor waits to be reaped", PATIENT)
        for name, pid in pids.items():
            if rounds:
                wait_until(lambda each=pid, known=rounds[0][name][0]: hard.descriptors(each) == known, f"descriptors of the {name}")
            else:  # those of clients that have left are closed a moment later
                wait_until_still(lambda each=pid: hard.descriptors(each), "descriptors", still=1.5)
        return {name: (hard.descriptors(pid), hard.status_bytes(pid, "VmRSS")) for name, pid in pids.items()}

    rounds = []
    rounds.append(run_until(200))
    for number in range(1, 7):
        command(door, "start", "web")
        rounds.append(run_until(200 + number * CYCLES))
        if SANITIZER or max(growth(rounds).values()) <= MEMORY_BOUND:
            break
    assert door.pid == pids["proxy"]
    for name in pids:
        assert rounds[-1][name][0] == rounds[0][name][0], f"descriptors of the {name}"
    assert SANITIZER or max(growth(rounds).values()) <= MEMORY_BOUND, rounds


def growth(rounds):
    """Of resident memory, of each process, in the last round: over the most that was seen before. A heap keeps more or less
    of what is free; a leak goes on."""
    return {name: last[1] - max(before[name][1] for before in rounds[:-1]) for name, last in rounds[-1].items()}

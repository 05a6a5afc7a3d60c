"""Services that scale by their load: real replicas behind a real proxy, with short times."""

import re
import signal
import time

import pytest

from support import hard_workers as hard
from support.hard_workers import PATIENT, command, wait_for_running
from support.ports import free_ports
from support.waiting import wait_until

QUICK = {"up_after": "1s", "down_after": "2s"}


@pytest.fixture
def started(portunus):
    def make(scale, replicas, pool=None, **changes):
        ports = free_ports(replicas["max"] + 1)
        config = hard.config(ports, replicas=replicas, scale={**QUICK, **scale}, **changes)
        config["pools"]["web"] = {"balance": "round_robin", **(pool or {})}
        door = portunus(config)
        wait_for_running(door, replicas["min"])
        return door

    return make


def desired(door):
    return door.metric("portunus_supervisor_replicas", service="web", kind="desired")


def scalings(door, direction, mode="enforce"):
    return door.metric("portunus_supervisor_scalings_total", service="web", direction=direction, mode=mode)


def steps(door):
    return [(int(one), int(other)) for one, other in re.findall(r"service web: scaled from (\d+) to (\d+): ", door.log())]


def wait_for_desired(door, count):
    wait_until(lambda: desired(door) == count, f"{count} replicas are wanted", PATIENT)


@pytest.mark.smoke
def test_requests_in_flight_scale_up_and_down(started, keeper):
    door = started({"in_flight": 4}, {"min": 1, "max": 5})
    load = keeper.load(door, path="/wait/100", seconds=50, connections=12)
    wait_for_desired(door, 3)
    wait_for_running(door, 3)
    assert steps(door) == [(1, 2), (2, 3)], "at most twice as many at once"
    decided = door.log().count("service web: scaled")
    time.sleep(4)  # twice the cool-down: it is shown that nothing happens
    assert door.log().count("service web: scaled") == decided, "a constant load is at rest"
    requests, failures = load.finish()
    assert (failures, requests > 100) == ("", True)
    wait_for_desired(door, 1)
    wait_until(lambda: len(steps(door)) >= 4, "the log, written a moment later")
    assert steps(door)[2:] == [(3, 2), (2, 1)], "one by one"
    wait_until(lambda: len(hard.replicas_of(door)) == 1, "the others go", PATIENT)
    assert door.get().status == 200
    assert (scalings(door, "up"), scalings(door, "down")) == (2, 2)
    wait_until(lambda: re.search(r"scaled from 2 to 3: in_flight \d+\.\d, \d\.\d per replica; target 4; for 1s; 1 to 5 are allowed", door.log()), "it is told")
    last = command(door, "services").splitlines()[-1]
    assert re.fullmatch(r"web: 1 of 1 to 5 replicas; last scaled from 2 to 1: in_flight 0\.0, .*", last), last


def test_cpu_scales_up_and_down(started, keeper):
    door = started({"cpu": "10%"}, {"min": 1, "max": 2})  # of a machine that has others to serve
    load = keeper.load(door, path="/spin/20", seconds=50, connections=4)
    wait_for_desired(door, 2)
    wait_for_running(door, 2)
    wait_until(lambda: re.search(r"scaled from 1 to 2: cpu [01]\.\d\d, \d+% per replica; target 10%; for 1s; 1 to 2 are allowed", door.log()), "it is told")
    assert load.finish()[1] == ""
    wait_for_desired(door, 1)


def test_a_queue_scales_up(started, keeper):
    door = started({"queue": 1}, {"min": 1, "max": 6}, pool={"max_connections_per_upstream": 2})
    load = keeper.load(door, path="/wait/100", seconds=50, connections=8)
    wait_for_desired(door, 4)
    wait_for_running(door, 4)
    # A busy machine may take the second step in two: the average of a second has fewer that wait.
    assert steps(door) in ([(1, 2), (2, 4)], [(1, 2), (2, 3), (3, 4)]), "each has room for two"
    wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 0, "nobody waits any more", PATIENT)
    assert load.finish()[1] == ""


@pytest.mark.smoke
def test_a_dry_run_only_says_it(started, keeper):
    door = started({"in_flight": 4, "dry_run": True}, {"min": 1, "max": 5})
    load = keeper.load(door, path="/wait/100", seconds=50, connections=12)
    wait_until(lambda: scalings(door, "up", "dry_run") == 2, "it would have scaled", PATIENT)
    wait_until(lambda: re.findall(r"dry run: would be scaled from (\d) to (\d): in_flight", door.log()) == [
        ("1", "2"), ("2", "3")], "it is told")
    assert load.finish()[1] == ""
    wait_until(lambda: scalings(door, "down", "dry_run") == 2, "and back", PATIENT)
    assert (desired(door), scalings(door, "up"), scalings(door, "down")) == (1, 0, 0)
    assert len(hard.replicas_of(door)) == 1
    assert "dry run: from 2 to 1: in_flight" in command(door, "services")


@pytest.mark.smoke
def test_a_person_sets_the_base_and_holds_it_off(started):
    door = started({"in_flight": 4, "down_after": "4s"}, {"min": 1, "max": 5})
    begin = time.monotonic()
    command(door, "scale", "web", "3")
    wait_for_running(door, 3)
    assert "last scaled from 1 to 3: portunus scale" in command(door, "services")
    wait_until(lambda: steps(door), "it is scaled by its load again", PATIENT)
    assert time.monotonic() - begin > 4 - 0.5, "after the cool-down"
    assert steps(door)[0] == (3, 2)


@pytest.mark.smoke
def test_scaling_outlives_an_upgrade_and_a_reload(started, keeper):
    door = started({"in_flight": 4, "down_after": "30s"}, {"min": 1, "max": 5})
    load = keeper.load(door, path="/wait/100", seconds=50, connections=7)
    wait_for_desired(door, 2)
    wait_for_running(door, 2)
    before = hard.replicas_of(door)
    load.finish()
    door.signal(signal.SIGUSR2)
    wait_until(lambda: "goes on as" in door.log(), "the supervisor has executed itself", PATIENT)
    wait_until(door.is_ready, "it is ready")
    wait_for_desired(door, 2)
    wait_until(lambda: hard.replicas_of(door) == before, "the replicas are as they were", PATIENT)
    assert scalings(door, "up") == 1
    text = door.path.read_text()
    door.write(text.replace("fall: 2", "fall: 3"))
    assert door.reload().returncode == 0
    assert desired(door) == 2, "a reload does not begin at the minimum again"
    door.write(re.sub(r'    "scale":\n(?:      .*\n)+', "", text))
    assert door.reload().returncode == 0
    wait_for_desired(door, 1)

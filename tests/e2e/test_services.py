"""Services: replicas that the supervisor starts, restarts and stops, as members of their pool."""

import datetime
import os
import re
import signal
import time
from pathlib import Path

import pytest

from support.door import arguments_of, children_of, run_program
from support.ports import free_ports
from support.waiting import PATIENCE, SCALE, wait_until

WORKER = Path(__file__).parent / "support" / "worker.py"
HEALTH = {"path": "/health", "interval": "200ms", "timeout": "2s", "rise": 1, "fall": 2, "start_period": "30s"}


def service(folder, ports, replicas=3, **changes):
    return {
        "command": ["/usr/bin/python3", str(WORKER), "{port}", str(folder)],
        "replicas": replicas, "ports": f"{ports[0]}-{ports[-1]}", "pool": "web", "health": HEALTH,
        "restart": {"backoff": "100ms..2s", "max_in_window": "100 in 1m"}, "stop": {"grace": "5s"}, **changes,
    }


def config(folder, ports, **changes):
    return {"sites": {"*": {"pool": "web"}}, "pools": {"web": {}}, "services": {"web": service(folder, ports, **changes)}}


def replicas_of(door):
    """Ports and process ids."""
    found = {}
    for child in children_of(door.supervisor_pid):
        arguments = arguments_of(child)
        if str(WORKER) in arguments:
            found[int(arguments[2])] = child
    return found


def members_up(door):
    return {member["upstream"] for member in door.json("/v1/pools")["pools"][0]["members"] if member["state"] == "up"}


def wait_for_members(door, count):
    wait_until(lambda: len(members_up(door)) == count, f"{count} members are up", 30 * SCALE)


@pytest.fixture
def started(portunus, tmp_path):
    """Three replicas that serve, and the folder through which they are told what to do."""

    def make(replicas=3, ports=None, **changes):
        make.ports = ports or free_ports(5)
        make.folder = tmp_path
        make.door = portunus(config(tmp_path, make.ports, replicas=replicas, **changes))
        wait_for_members(make.door, replicas)
        return make.door

    return make


@pytest.mark.smoke
def test_replicas_join_their_pool_and_serve(started):
    door = started()
    replicas = replicas_of(door)
    assert sorted(replicas) == started.ports[:3]
    answers = {int(door.get().body) for _ in range(60)}  # ties are drawn: 12 would miss one now and then
    assert answers == set(replicas.values())


@pytest.mark.smoke
def test_a_crashed_replica_is_restarted_at_once(started):
    door = started(restart={"backoff": "5m..1h"})  # before the second one
    port, pid = next(iter(replicas_of(door).items()))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: replicas_of(door).get(port, pid) != pid, "another process")
    wait_for_members(door, 3)
    wait_until(lambda: re.search(r"service web.*replica \d.*crashed", door.log()), "the log says so")


@pytest.mark.smoke
def test_a_sick_replica_is_restarted(started):
    door = started()
    port, pid = next(iter(replicas_of(door).items()))
    sick = started.folder / f"sick-{port}"
    sick.touch()
    wait_until(lambda: replicas_of(door).get(port) not in (None, pid), "it is restarted", 30 * SCALE)
    sick.unlink()
    wait_for_members(door, 3)
    wait_until(lambda: re.search(r"replica \d.*: sick: ", door.log()), "the log says so")


@pytest.mark.smoke
def test_requests_end_before_a_sick_replica_is_stopped(started):
    door = started(replicas=1, stop={"grace": "20s"})
    (port, pid), = replicas_of(door).items()
    with door.connect() as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: test.local\r\n\r\n")
        wait_until(lambda: door.metric("portunus_http_requests_in_flight") == 1, "it runs")
        (started.folder / f"sick-{port}").touch()
        wait_until(lambda: door.member(f"127.0.0.1:{port}")["state"] == "draining", "it drains")
        (started.folder / "go").touch()
        response = client.read_response()
        assert (response.status, response.body) == (200, str(pid).encode())
    wait_until(lambda: replicas_of(door).get(port) not in (None, pid), "then it is restarted")


@pytest.mark.smoke
def test_everything_ends_with_the_supervisor(started):
    door = started(replicas=2)
    replicas = replicas_of(door)
    door.signal(signal.SIGTERM)
    assert door.wait() == 0
    assert not [pid for pid in replicas.values() if Path(f"/proc/{pid}").exists()]


def test_stubborn_replicas_and_their_children_end_too(portunus, tmp_path):
    (tmp_path / "stubborn").touch()
    (tmp_path / "child").touch()
    door = portunus(config(tmp_path, free_ports(3), replicas=2, stop={"grace": "300ms"}))
    wait_for_members(door, 2)
    replicas = list(replicas_of(door).values())
    grandchildren = [child for pid in replicas for child in children_of(pid)]
    assert len(grandchildren) == 2
    door.signal(signal.SIGTERM)
    assert door.wait() == 0
    assert not [pid for pid in [*replicas, *grandchildren] if Path(f"/proc/{pid}").exists()]


@pytest.mark.smoke
def test_a_crash_of_the_proxy_leaves_replicas_alone(started):
    door = started()
    before = replicas_of(door)
    pid = door.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: door.proxy_pid() not in (None, pid), "another proxy")
    wait_until(door.is_ready, "it is ready")
    assert door.get().status == 200, "it knows the members from the beginning"
    assert replicas_of(door) == before


@pytest.mark.smoke
def test_reload_scales_in_place(started):
    door = started(replicas=2)
    before = replicas_of(door)
    door.write(config(started.folder, started.ports, replicas=4))
    assert door.reload().returncode == 0
    wait_for_members(door, 4)
    assert before.items() <= replicas_of(door).items(), "those that were there are the same"
    door.write(config(started.folder, started.ports, replicas=1))
    assert door.reload().returncode == 0
    wait_until(lambda: len(replicas_of(door)) == 1, "the others go")
    wait_for_members(door, 1)
    assert replicas_of(door).items() <= before.items()


def test_reload_rolls_what_has_changed(started, keeper):
    door = started(replicas=3)
    before = replicas_of(door)
    load = keeper.load(door, path="/", seconds=60 * SCALE, connections=8)
    door.write(config(started.folder, started.ports, replicas=3, environment={"VERSION": "2"}))
    assert door.reload().returncode == 0
    wait_until(lambda: not set(before.values()) & set(replicas_of(door).values()), "all are new", 50 * SCALE)
    wait_for_members(door, 3)
    requests, failures = load.finish()
    assert failures == ""
    assert requests > 100


@pytest.mark.smoke
def test_reload_removes_and_adds_services(started):
    door = started(replicas=1)
    first = replicas_of(door)
    other = service(started.folder, started.ports[3:], replicas=1)
    door.write({"sites": {"*": {"pool": "web"}}, "pools": {"web": {}}, "services": {"other": other}})
    assert door.reload().returncode == 0
    wait_until(lambda: list(replicas_of(door)) == [started.ports[3]], "one went, the other came", 30 * SCALE)
    wait_for_members(door, 1)
    assert not set(first.values()) & set(replicas_of(door).values())
    assert door.get().status == 200


def test_crash_loop_backs_off(portunus, tmp_path):
    definition = {"command": ["/bin/sh", "-c", "exit 1"], "restart": {"backoff": "100ms..400ms", "max_in_window": "1000 in 1m"}}
    door = portunus({"sites": {"*": {"respond": {"status": 200}}}, "services": {"bad": definition}})
    times = wait_until(lambda: len(found := re.findall(r"^(\S+) .*crashed", door.log(), re.M)) >= 9 and found, "it crashes again and again", 40)
    # As the supervisor saw it: lines may come to the file many at a time.
    begin, end = (datetime.datetime.fromisoformat(times[i]) for i in (4, 8))
    assert (end - begin).total_seconds() > 0.8, "with pauses"
    assert door.get().status == 200


@pytest.mark.smoke
def test_all_members_killed_come_back(started):
    door = started()
    for pid in replicas_of(door).values():
        os.kill(pid, signal.SIGKILL)
    begin = time.monotonic()
    wait_until(lambda: door.get().status == 200, "served again")
    assert time.monotonic() - begin < PATIENCE


@pytest.mark.smoke
def test_services_need_no_site(portunus):
    door = portunus({"listeners": {}, "services": {"cron": {"command": ["sleep", "300"], "replicas": 2}}})
    wait_until(lambda: door.metric("portunus_supervisor_replicas", service="cron", kind="ready") == 2, "both run")
    assert run_program("check", "-c", str(door.path)).stdout.endswith(": valid: 0 sites, 0 routes, 0 pools with 0 members, 1 service\n")
    door.write({"listeners": {}, "services": {"cron": {"command": ["sleep", "300"]}}})
    assert door.reload().returncode == 0
    wait_until(lambda: door.metric("portunus_supervisor_replicas", service="cron", kind="running") == 1, "one goes")


@pytest.mark.smoke
def test_a_service_gets_and_loses_its_pool_by_a_reload(started):
    """Members are told in the middle of it."""
    door = started()
    supervisor = door.supervisor_pid
    pools = {"web": {"upstreams": ["127.0.0.1:1"], "health": "off"}}
    door.write({**config(started.folder, started.ports), "pools": pools, "services": {
        "web": {key: value for key, value in service(started.folder, started.ports).items() if key != "pool"}}})
    os.kill(supervisor, signal.SIGHUP)
    wait_until(lambda: len(door.json("/v1/pools")["pools"][0]["members"]) == 1, "the replicas have left", 30 * SCALE)
    door.write(config(started.folder, started.ports))
    os.kill(supervisor, signal.SIGHUP)
    wait_for_members(door, 3)
    assert door.supervisor_pid == supervisor


@pytest.mark.smoke
def test_a_reload_in_the_middle_of_a_roll(started):
    door = started()
    supervisor = door.supervisor_pid
    for word in ("one", "two", "three"):
        before = set(replicas_of(door).values())  # the roll may be over before the next line of this
        door.write(config(started.folder, started.ports, environment={"WORD": word}))
        os.kill(supervisor, signal.SIGHUP)
        wait_until(lambda: set(replicas_of(door).values()) - before, "another process", 30 * SCALE)
    wait_for_members(door, 3)
    assert door.supervisor_pid == supervisor

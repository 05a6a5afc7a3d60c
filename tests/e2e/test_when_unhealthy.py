"""`when_unhealthy`: where requests go while no member is up. Members answer requests whatever their probes say."""

import json
import threading

import pytest

from support.door import one_pool, run_program
from support.upstream import serve_requests
from support.waiting import SCALE, wait_until

pytestmark = pytest.mark.smoke

HEALTH = {"path": "/health", "interval": "500ms", "timeout": f"{2 * SCALE}s", "fall": 1, "rise": 1}


class Sick:
    """A member that answers requests with its name, and probes as the test says."""

    def __init__(self, name, is_well=True):
        self.name = name
        self.is_well = is_well
        self.asked = 0

    def __call__(self, connection):
        serve_requests(self.answer)(connection)

    def answer(self, connection, request):
        if request.target == "/health":
            connection.reply(200 if self.is_well else 503)
            return
        self.asked += 1
        connection.reply(200, self.name.encode())


def pool(choice, **more):
    return {"health": HEALTH, "balance": "round_robin", "when_unhealthy": choice, "retry": "off", **more}


def panics(door):
    shown = json.loads(door.admin("/v1/pools/web").body)["panic"]
    assert type(shown) is bool
    return shown and door.metric("portunus_pool_panic", pool="web") == 1


def is_calm(door):
    return not json.loads(door.admin("/v1/pools/web").body)["panic"]


def all_down(door, members):
    for member in members:
        door.wait_for_state(member.address, "down")


def answers(door, count=12):
    got = set()
    for _ in range(count):
        answer = door.get()
        got.add((answer.status, answer.body if answer.status == 200 else b""))
    return got


def test_fail_is_the_default(portunus, upstream):
    members = [upstream(Sick(name, is_well=False)) for name in "ab"]
    door = portunus(one_pool(members, pool={"health": HEALTH, "retry": "off"}))
    all_down(door, members)
    assert answers(door) == {(503, b"")}
    assert door.metric("portunus_pool_panic", pool="web") == 0
    assert json.loads(door.admin("/v1/pools/web").body)["when_unhealthy"] == "fail"


def test_all_uses_those_that_are_down_until_one_is_up(portunus, upstream):
    sick = [Sick("a"), Sick("b", is_well=False)]
    members = [upstream(each) for each in sick]
    door = portunus(one_pool(members, pool=pool("all")))
    door.wait_for_state(members[0].address, "up")
    door.wait_for_state(members[1].address, "down")
    assert answers(door) == {(200, b"a")}, "one is up"
    assert door.metric("portunus_pool_panic", pool="web") == 0
    sick[0].is_well = False
    wait_until(lambda: panics(door), "nobody is up")
    assert answers(door) == {(200, b"a"), (200, b"b")}
    shown = door.member(members[1].address)
    assert (shown["state"], shown["selectable"], shown["effective_weight"]) == ("down", True, 1)
    assert door.metric("portunus_upstream_healthy", upstream=members[1].address) == 0, "it is used and not healthy"
    table = run_program("pools", "-c", str(door.path), folder=door.folder).stdout
    assert table.count("down (in use)") == 2, table
    wait_until(lambda: "no member is up: requests go to 2 of 2 all the same" in door.log(), "the log says so")
    sick[1].is_well = True
    wait_until(lambda: is_calm(door), "one is up again")
    assert answers(door) == {(200, b"b")}
    assert door.metric("portunus_pool_panic", pool="web") == 0


def test_last_known_leaves_out_who_never_was_up(portunus, upstream):
    sick = [Sick("a"), Sick("b"), Sick("never", is_well=False)]
    members = [upstream(each) for each in sick]
    door = portunus(one_pool(members, pool=pool("last_known")))
    door.wait_for_state(members[0].address, "up")
    door.wait_for_state(members[1].address, "up")
    door.wait_for_state(members[2].address, "down")
    sick[0].is_well = sick[1].is_well = False
    all_down(door, members)
    wait_until(lambda: panics(door), "nobody is up")
    assert answers(door) == {(200, b"a"), (200, b"b")}
    assert sick[2].asked == 0


def test_last_known_knows_nobody_after_a_start(portunus, upstream):
    members = [upstream(Sick(name, is_well=False)) for name in "ab"]
    door = portunus(one_pool(members, pool=pool("last_known")))
    all_down(door, members)
    assert answers(door) == {(503, b"")}
    assert is_calm(door)


def test_what_an_operator_has_taken_out_stays_out(portunus, upstream):
    sick = [Sick(name, is_well=False) for name in "abc"]
    members = [upstream(each) for each in sick]
    door = portunus(one_pool(members, pool=pool("all")))
    all_down(door, members)
    wait_until(lambda: panics(door), "nobody is up")

    def order(verb, member):
        done = run_program(verb, f"web/{member.address}", "-c", str(door.path), folder=door.folder)
        assert done.returncode == 0, done

    order("drain", members[0])
    order("disable", members[1])
    assert answers(door) == {(200, b"c")}
    order("drain", members[2])
    assert answers(door) == {(503, b"")}
    assert is_calm(door)
    order("enable", members[0])
    wait_until(lambda: panics(door), "it is used again")
    assert answers(door) == {(200, b"a")}


def test_backups_come_after_the_others_here_too(portunus, upstream):
    sick = [Sick("a", is_well=False), Sick("backup", is_well=False)]
    members = [upstream(each) for each in sick]
    upstreams = [members[0].address, {"address": members[1].address, "backup": True}]
    door = portunus(one_pool(members, pool=pool("all", upstreams=upstreams)))
    all_down(door, members)
    wait_until(lambda: panics(door), "nobody is up")
    assert answers(door) == {(200, b"a")}
    members[0].close()  # a connection is refused: another try finds the backup
    door.write({**one_pool(members, pool=pool("all", upstreams=upstreams, retry={"attempts": 2}))})
    assert door.reload().returncode == 0
    assert answers(door) == {(200, b"backup")}


def test_an_open_breaker_is_respected(portunus, upstream):
    def hang_up(connection, request):
        if request.target == "/health":
            connection.reply()
        else:
            connection.close()

    member = upstream(serve_requests(hang_up))
    breaker = {"consecutive_failures": 2, "open_for": "1h"}
    door = portunus(one_pool(member, pool=pool("all", circuit_breaker=breaker, passive="off")))
    door.wait_for_state(member.address, "up")
    for _ in range(2):
        assert door.get().status == 502
    door.wait_for_state(member.address, "ejected")
    assert door.get().status == 503
    assert is_calm(door)


def test_a_reload_lets_those_in_that_wait(portunus, upstream):
    """A request waits for a member; the configuration says that those that are down will do; and then not any more."""
    member = upstream(Sick("a", is_well=False))
    waiting = {"attempts": 3, "for": "60s", "every": "1s"}
    door = portunus(one_pool(member, pool=pool("fail", retry=waiting)))
    door.wait_for_state(member.address, "down")
    got = []
    client = threading.Thread(target=lambda: got.append(door.get().body))
    client.start()
    wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 1, "it waits")
    door.write(one_pool(member, pool=pool("all", retry=waiting)))
    assert door.reload().returncode == 0
    client.join(20 * SCALE)
    assert got == [b"a"]
    door.write(one_pool(member, pool=pool("fail")))
    assert door.reload().returncode == 0
    assert is_calm(door)
    assert door.get().status == 503

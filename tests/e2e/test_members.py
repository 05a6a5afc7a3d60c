"""What operators do with members: drain, disable, enable, weight; and what is still known of them after a restart."""

import datetime
import json
import os
import signal
import threading

import pytest

from support.door import one_pool, run_program
from support.upstream import serve_requests
from support.waiting import wait_until

pytestmark = pytest.mark.smoke

PROBED = {"health": {"tcp": True, "interval": "500ms", "fall": 1, "rise": 1}}


def order(door, verb, member, *more):
    done = run_program(verb, f"web/{member.address}", *more, "-c", str(door.path), folder=door.folder)
    return done


def counts(members):
    return [len(member.requests) for member in members]


@pytest.mark.parametrize("balance", ["least_connections", "round_robin", "random_two", "consistent_hash"])
def test_a_drained_member_gets_nothing_new(portunus, upstream, balance):
    members = [upstream() for _ in range(2)]
    door = portunus(one_pool(members, pool={"balance": balance}))
    assert order(door, "drain", members[0], "--wait", "10s").returncode == 0
    for _ in range(40):
        assert door.get().status == 200
    assert counts(members) == [0, 40]
    member = door.member(members[0].address)
    assert (member["state"], member["admin"], member["selectable"]) == ("draining", "drained", False)
    assert member["reason"] == "drained by an operator"
    assert door.metric("portunus_upstream_state", upstream=members[0].address, state="draining") == 1
    assert door.metric("portunus_upstream_effective_weight", upstream=members[0].address) == 0
    assert order(door, "enable", members[0]).returncode == 0
    assert order(door, "drain", members[1]).returncode == 0
    assert door.get().status == 200
    assert counts(members) == [1, 40]


def test_drain_waits_for_the_requests_that_run(portunus, upstream):
    release = threading.Event()

    def slow(connection, _request):
        release.wait(30)
        connection.reply()

    busy, other = upstream(serve_requests(slow)), upstream()
    door = portunus(one_pool([busy], pool={"retry": {"for": "0s"}}))  # nobody waits for a member
    answers = []
    client = threading.Thread(target=lambda: answers.append(door.get().status))
    client.start()
    busy.wait_for_requests(1)
    late = order(door, "drain", busy, "--wait", "100ms")
    assert late.returncode == 4, late
    assert "still in flight" in late.stderr
    assert door.get().status == 503, "nobody else is there"
    waiting = []
    waiter = threading.Thread(target=lambda: waiting.append(order(door, "drain", busy, "--wait", "30s", "--json")))
    waiter.start()
    release.set()
    waiter.join()
    client.join()
    assert waiting[0].returncode == 0, waiting
    assert json.loads(waiting[0].stdout)["drained"] is True
    assert answers == [200]
    assert other.requests == []


def test_maintenance_ends_with_a_good_probe(portunus, upstream):
    members = [upstream(), upstream()]
    door = portunus(one_pool(members, pool=PROBED))
    for member in members:
        door.wait_for_state(member.address, "up")
    assert order(door, "disable", members[0]).returncode == 0
    before = door.member(members[0].address)
    assert before["state"] == "maintenance"
    # The other one's probes go on meanwhile.
    wait_until(lambda: door.member(members[1].address)["probe"]["good_total"] > 3, "more probes")
    assert door.member(members[0].address)["probe"]["good_total"] == before["probe"]["good_total"]
    assert order(door, "enable", members[0]).returncode == 0
    door.wait_for_state(members[0].address, "up")
    wait_until(lambda: door.get().status == 200 and members[0].requests, "it has requests again")


def test_a_weight_holds_over_a_reload_until_it_is_taken_back(portunus, upstream):
    members = [upstream() for _ in range(2)]
    config = one_pool(members, pool={"balance": "round_robin"}, threads=1)
    door = portunus(config)
    done = order(door, "weight", members[0], "9")
    assert done.returncode == 0 and "weight 9 (configured: 1)" in done.stdout, done
    door.write({**config, "access_log": "off"})
    assert door.reload().returncode == 0
    for _ in range(50):
        assert door.get().status == 200
    assert 40 <= counts(members)[0] <= 49, counts(members)
    assert order(door, "weight", members[0], "default").returncode == 0
    assert door.member(members[0].address)["weight"] == 1
    assert order(door, "weight", members[0], "0").returncode == 2


def test_what_is_not_there_cannot_be_ordered(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member))
    refused = run_program("drain", "web/127.0.0.1:1", "-c", str(door.path), folder=door.folder)
    assert refused.returncode == 1 and "no member" in refused.stderr
    assert run_program("drain", "web", "-c", str(door.path), folder=door.folder).returncode == 2
    path = f"/v1/pools/web/upstreams/{member.address}"
    assert json.loads(door.admin(path).body)["upstream"] == member.address
    assert door.admin(path + "/drain").status == 405
    assert door.admin(path + "/drain", "POST", None, "Origin: http://evil.example").status == 403
    assert door.admin(path + "/explode", "POST").status == 404
    assert door.admin(path + "/drain?wait=never", "POST").status == 400
    assert door.member(member.address)["state"] == "up"


# ---- what is known after a restart


def kept(door):
    file = door.folder / "state" / "members.state"
    return file.read_text() if file.exists() else ""


def three(portunus, upstream):
    """One member that is up, one that is down, one that an operator has drained; probes come once in a minute."""
    members = [upstream() for _ in range(3)]
    members[1].close()
    door = portunus(one_pool(members, pool={"health": {"tcp": True, "interval": "60s"}}, threads=1))
    assert order(door, "drain", members[2], "--wait", "10s").returncode == 0
    door.wait_for_state(members[1].address, "down")
    wait_until(lambda: '"up":false' in kept(door) and '"drained"' in kept(door), "it is written down")
    return door, members


def check_three(door, members, since=None):
    before = counts(members)
    for _ in range(20):
        assert door.get().status == 200
    after = counts(members)
    assert (after[0] - before[0], after[2] - before[2]) == (20, 0)
    assert door.metric("portunus_retries_total") == 0, "no request was tried at the one that is down"
    assert door.member(members[2].address)["reason"] == "drained by an operator"
    if since:
        assert door.member(members[1].address)["since"] == since


def test_a_proxy_that_is_killed_leaves_what_it_knew(portunus, upstream):
    door, members = three(portunus, upstream)
    since = door.member(members[1].address)["since"]
    first = door.pid
    os.kill(first, signal.SIGKILL)
    # The first answer comes from the next proxy, which has not finished a probe of the one that is down.
    assert door.get().status == 200
    wait_until(lambda: door.proxy_pid() not in (None, first) and door.is_ready(), "the next proxy")
    wait_until(lambda: "takes over: health of 3 members, orders about 1" in door.log(), "it is told")
    check_three(door, members, since)
    assert members[2].requests == []


def test_an_upgrade_takes_it_along(portunus, upstream):
    door, members = three(portunus, upstream)
    for round_number in (1, 2):  # the second time, the supervisor is one that was resumed
        first = door.pid
        door.signal(signal.SIGUSR2)
        wait_until(lambda: door.proxy_pid() not in (None, first) and door.log().count("goes on as") == round_number,
                   "the next proxy")
        wait_until(door.is_ready, "ready")
        check_three(door, members)
        wait_until(lambda: door.log().count("the former proxy has ended") == round_number, "the former one has gone")
        wait_until(lambda: door.log().count("takes over: health") == round_number, "it is told")


def test_the_whole_restart_keeps_what_operators_want(portunus, upstream):
    door, members = three(portunus, upstream)
    door.stop()
    door.start()
    check_three(door, members)
    # Days later the health is of no use any more.
    door.stop()
    os.utime(door.folder / "state" / "members.state", (1_700_000_000, 1_700_000_000))
    door.start()
    wait_until(lambda: "health of 0 members (too old), orders about 1" in door.log(), "it is told")
    check_three(door, members)
    assert order(door, "enable", members[2]).returncode == 0
    door.wait_for_state(members[2].address, "up")
    wait_until(lambda: '"drained"' not in kept(door), "it is written down")
    door.stop()
    door.start()
    assert door.member(members[2].address)["admin"] == "enabled"


@pytest.mark.parametrize("damage", ["truncated", "changed", "foreign", "huge", "empty"])
def test_a_file_that_cannot_be_right_is_ignored(portunus, upstream, damage):
    door, members = three(portunus, upstream)
    door.stop()
    file = door.folder / "state" / "members.state"
    good = file.read_bytes()
    file.write_bytes({
        "truncated": good[:-10],
        "changed": good.replace(b"drained", b"drainee"),
        "foreign": b"\x7fELF" + bytes(range(256)) * 40,
        "huge": good + b"\n" * (5 << 20),
        "empty": b"",
    }[damage])
    door.start()
    wait_until(lambda: "ignored" in door.log(), "it is told")
    wait_until(lambda: door.member(members[2].address)["state"] == "up", "as new")
    assert door.log().count("ignored") == 1, door.log()
    assert door.get().status == 200


def test_a_folder_that_cannot_be_written(portunus, upstream, tmp_path):
    """A file stands where the folder should be: root, too, can write nothing there."""
    place = tmp_path / "no-folder"
    place.write_text("")
    members = [upstream() for _ in range(2)]
    door = portunus(one_pool(members, state=str(place)))
    for _ in range(3):
        assert order(door, "drain", members[0]).returncode == 0
        assert order(door, "enable", members[0]).returncode == 0
    assert order(door, "drain", members[0]).returncode == 0
    wait_until(lambda: "will not outlive this process" in door.log(), "it is told")
    first = door.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: door.proxy_pid() not in (None, first) and door.is_ready(), "the next proxy")
    assert door.member(members[0].address)["state"] == "draining", "the proxy's restart needs no file"
    assert door.log().count("will not outlive this process") == 1


# ---- slow start


def test_a_member_that_comes_back_starts_slowly(portunus, upstream):
    members = [upstream() for _ in range(2)]
    door = portunus(one_pool(members, pool={**PROBED, "slow_start": "4s"}, threads=1))

    def weights():
        return [door.member(member.address)["effective_weight"] for member in members]

    def age(member):
        since = datetime.datetime.fromisoformat(door.member(member.address)["since"].replace("Z", "+00:00"))
        return (datetime.datetime.now(datetime.timezone.utc) - since).total_seconds()

    wait_until(lambda: min(weights()) > 0.8, "those that come together share alike")
    wait_until(lambda: weights() == [1, 1] and age(members[0]) > 4, "the first one is through")
    assert order(door, "disable", members[1]).returncode == 0
    assert weights() == [1, 0]
    assert order(door, "enable", members[1]).returncode == 0
    seen = []
    wait_until(lambda: seen.append(weights()) or seen[-1][1] == 1, "it has all of its weight")
    assert all(others == 1 for others, _ in seen), seen
    growing = [weight for _, weight in seen if weight > 0]
    assert growing == sorted(growing) and growing[0] < 0.6 and len(set(growing)) > 5, seen
    wait_until(lambda: door.get().status == 200 and members[1].requests, "it has requests again")

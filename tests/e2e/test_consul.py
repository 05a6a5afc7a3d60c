"""Members from a real Consul: they come, go and drain as they are registered, and no fault of Consul empties a pool."""

import json
import os
import signal
import threading

import pytest

from support.consul import Consul, needs_consul
from support.door import run_program
from support.upstream import serve_requests
from support.waiting import SCALE, wait_until

pytestmark = [needs_consul, pytest.mark.smoke]

HEALTH = {"path": "/health", "interval": "500ms", "timeout": f"{2 * SCALE}s", "fall": 2, "rise": 1}
LONG = 60 * SCALE  # for what Consul or the guard takes its time with


class Named:
    """A member that answers requests with its name, and probes as the test says."""

    def __init__(self, keeper, name):
        self.name = name
        self.is_well = True
        self.upstream = keeper.upstream(serve_requests(self.answer))
        self.address = self.upstream.address

    def answer(self, connection, request):
        if request.target == "/health":
            connection.reply(200 if self.is_well else 503)
        else:
            connection.reply(200, self.name.encode())


class World:
    def __init__(self, keeper, folder):
        self.keeper = keeper
        self.folder = folder
        self.consul = keeper.keep(Consul(folder / "consul"))

    def member(self, name, service="web", **more):
        member = Named(self.keeper, name)
        self.consul.register(member, service, **more)
        return member

    def config(self, **more):
        pool = {"consul": {"service": "web", **more.pop("query", {})}, "health": HEALTH, "balance": "round_robin", **more.pop("pool", {})}
        return {"sites": {"*": {"pool": "web"}}, "pools": {"web": pool}, "consul": self.consul.address, **more}

    def door(self, **more):
        door = self.keeper.portunus(self.config(**more))
        return door


@pytest.fixture
def world(keeper, tmp_path):
    return World(keeper, tmp_path)


def discovery(door):
    return json.loads(door.admin("/v1/pools/web").body)["discovery"]


def upstreams(door):
    return {member["upstream"]: member for member in json.loads(door.admin("/v1/pools/web").body)["members"]}


def wait_for_members(door, *members, seconds=LONG):
    """Until exactly these are up, and no other is there."""
    wanted = {member.address for member in members}

    def are_there():
        shown = upstreams(door)
        return set(shown) == wanted and all(each["state"] == "up" for each in shown.values())

    wait_until(are_there, f"the members are {sorted(wanted)}", seconds)


def answers(door, count=12):
    got = set()
    for _ in range(count):
        answer = door.get()
        assert answer.status == 200, answer
        got.add(answer.body.decode())
    return got


class Client:
    """Asks without a pause until it is stopped, and counts what was not answered with 200."""

    def __init__(self, door):
        self.door, self.asked, self.failed, self.stops = door, 0, [], False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stops:
            try:
                answer = self.door.get()
                if answer.status != 200:
                    self.failed.append(answer)
            except (OSError, AssertionError) as failure:
                self.failed.append(failure)
            self.asked += 1

    def wait_for_more(self, count=10):
        want = self.asked + count
        wait_until(lambda: self.asked >= want, "the client goes on", LONG)

    def close(self):
        self.stops = True
        self.thread.join()

    def finish(self):
        self.close()
        assert self.asked > 0 and not self.failed, self.failed[:3]


def test_instances_come_and_go(world):
    first = world.member("one")
    door = world.door()
    wait_for_members(door, first)
    client = world.keeper.keep(Client(door))
    second = world.member("two")
    wait_for_members(door, first, second)
    assert answers(door) == {"one", "two"}
    shown = upstreams(door)[second.address]
    assert (shown["source"], shown["discovery"], shown["selectable"]) == ("consul", "passing", True)
    world.consul.deregister(first)
    wait_for_members(door, second)
    assert answers(door) == {"two"}
    client.finish()
    assert discovery(door)["source"] == "consul" and not discovery(door)["kept"]
    assert door.metric("portunus_discovery_endpoints", provider="consul", service="web") == 1
    assert door.metric("portunus_discovery_updates_total", service="web", result="changed") >= 3


def test_checks_warn_and_fail(world):
    first, second = world.member("one"), world.member("two")
    door = world.door()
    wait_for_members(door, first, second)
    full = upstreams(door)[first.address]["weight"]
    world.consul.check(second, "warning")
    wait_until(lambda: upstreams(door)[second.address]["discovery"] == "warning", "the warning is seen", LONG)
    assert upstreams(door)[second.address]["weight"] * 2 == full and answers(door) == {"one", "two"}
    world.consul.check(second, "critical")
    shown = wait_until(lambda: not upstreams(door)[second.address]["selectable"] and upstreams(door)[second.address], "it is held back", LONG)
    assert shown["state"] == "draining" and "critical" in shown["reason"], shown
    assert answers(door) == {"one"}
    world.consul.check(second, "passing")
    wait_for_members(door, first, second)
    assert answers(door) == {"one", "two"}


def test_passing_only_and_tags(world):
    tagged = world.member("tagged", Tags=["blue", "new"])
    world.member("other", Tags=["blue"])
    door = world.door(query={"tags": ["new", "blue"], "passing_only": True})
    wait_for_members(door, tagged)
    another = world.member("another", Tags=["new", "blue"])
    wait_for_members(door, tagged, another)
    world.consul.check(another, "warning")
    wait_until(lambda: not upstreams(door)[another.address]["selectable"], "a warning is as bad as a failure here", LONG)
    assert answers(door) == {"tagged"}


def test_maintenance_drains(world):
    first, second = world.member("one"), world.member("two")
    door = world.door()
    wait_for_members(door, first, second)
    world.consul.maintenance(first, True)
    shown = wait_until(lambda: upstreams(door)[first.address]["state"] == "draining" and upstreams(door)[first.address], "it drains", LONG)
    assert "maintenance" in shown["reason"], shown
    assert answers(door) == {"two"}
    world.consul.maintenance(first, False)
    wait_for_members(door, first, second)
    assert answers(door) == {"one", "two"}


def test_our_own_probe_decides_as_well(world):
    first, second = world.member("one"), world.member("two")
    door = world.door()
    wait_for_members(door, first, second)
    first.is_well = False
    door.wait_for_state(first.address, "down", LONG)
    assert upstreams(door)[first.address]["discovery"] == "passing"
    assert answers(door) == {"two"}


def test_the_agent_is_killed_and_comes_back(world):
    first, second = world.member("one"), world.member("two")
    door = world.door()
    wait_for_members(door, first, second)
    client = world.keeper.keep(Client(door))
    world.consul.kill()
    wait_until(lambda: discovery(door)["kept"], "the list is marked as kept", LONG)
    assert discovery(door).get("kept_reason") == "unreachable"
    assert door.metric("portunus_discovery_guard_active", service="web", reason="unreachable") == 1
    assert answers(door) == {"one", "two"}
    world.consul.start()  # knows nothing any more, and its index begins anew
    wait_until(lambda: discovery(door).get("kept_reason") == "empty", "an empty answer is not believed", LONG)
    assert answers(door) == {"one", "two"}
    client.wait_for_more()
    world.consul.register(first)
    third = world.member("three")
    wait_until(lambda: third.address in upstreams(door), "the new one joins", LONG)
    world.consul.register(second)
    wait_until(lambda: not discovery(door)["kept"], "the list is Consul's again", LONG)
    wait_for_members(door, first, second, third)
    client.finish()


def test_a_frozen_agent_changes_nothing(world):
    first, second = world.member("one"), world.member("two")
    door = world.door()
    wait_for_members(door, first, second)
    world.consul.freeze()
    assert answers(door) == {"one", "two"}
    assert door.reload().returncode == 0, door.log()
    assert answers(door) == {"one", "two"}
    world.consul.thaw()
    third = world.member("three")
    wait_for_members(door, first, second, third)


def test_most_instances_gone_at_once_are_kept_until_it_is_certain(world):
    members = [world.member(name) for name in ("one", "two", "three", "four")]
    door = world.door()
    wait_for_members(door, *members)
    client = world.keeper.keep(Client(door))
    for member in members[1:]:
        member.is_well = False  # else their probes say that they are alive, and they are kept for longer
    for member in members[1:]:
        door.wait_for_state(member.address, "down", LONG)
        world.consul.deregister(member)
    wait_for_members(door, members[0], seconds=LONG)
    client.finish()


def test_a_start_without_consul_uses_what_was_known(world):
    first, second = world.member("one"), world.member("two")
    door = world.door()
    wait_for_members(door, first, second)
    snapshots = door.folder / "state" / "discovery"
    wait_until(lambda: snapshots.is_dir() and any(second.address in each.read_text() for each in snapshots.iterdir()), "it is on disk", LONG)
    door.signal(signal.SIGTERM)
    assert door.wait() == 0
    world.consul.kill()
    door.start()
    wait_for_members(door, first, second)
    assert answers(door) == {"one", "two"}
    assert discovery(door)["source"] == "snapshot"
    world.consul.start()
    third = world.member("three")
    world.consul.register(first)
    world.consul.register(second)
    wait_for_members(door, first, second, third)
    assert discovery(door)["source"] == "consul"


def test_a_start_without_anything_serves_when_consul_comes(world):
    world.consul.kill()
    door = world.door(pool={"retry": "off"})
    assert door.get().status == 503
    world.consul.start()
    first = world.member("one")
    wait_for_members(door, first)
    assert answers(door) == {"one"}


def test_the_proxy_is_killed(world):
    first, second = world.member("one"), world.member("two")
    door = world.door()
    wait_for_members(door, first, second)
    snapshots = door.folder / "state" / "discovery"
    wait_until(lambda: snapshots.is_dir() and any(second.address in each.read_text() for each in snapshots.iterdir()), "it is on disk", LONG)
    world.consul.freeze()
    killed = door.pid
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: door.proxy_pid() not in (None, killed) and door.is_ready(), "another proxy is ready", LONG)
    wait_for_members(door, first, second)
    assert answers(door) == {"one", "two"}
    world.consul.thaw()


def test_reloads_keep_what_is_watched(world):
    first, second = world.member("one"), world.member("two")
    fixed = Named(world.keeper, "fixed")
    door = world.door()
    wait_for_members(door, first, second)
    client = world.keeper.keep(Client(door))
    changed = door.metric("portunus_discovery_updates_total", service="web", result="changed")
    door.write(world.config(pool={"upstreams": [fixed.address]}))
    assert door.reload().returncode == 0, door.log()
    wait_for_members(door, first, second, fixed)
    assert answers(door) == {"one", "two", "fixed"}
    assert upstreams(door)[fixed.address]["source"] == "static"
    assert door.metric("portunus_discovery_updates_total", service="web", result="changed") == changed, "the watch went on"
    door.write(world.config(pool={"balance": "nonsense"}))
    assert door.reload().returncode != 0
    assert answers(door) == {"one", "two", "fixed"}
    world.consul.deregister(first)
    wait_for_members(door, second, fixed)
    door.write(world.config(query={"service": "other"}))
    other = world.member("other", service="other")
    assert door.reload().returncode == 0, door.log()
    wait_for_members(door, other)
    client.finish()


def test_another_query_while_consul_is_away_keeps_what_was_there(world):
    first = world.member("one", Tags=["blue"])
    door = world.door()
    wait_for_members(door, first)
    world.consul.kill()
    wait_until(lambda: discovery(door)["kept"], "Consul's death is noticed", LONG)
    door.write(world.config(query={"tags": ["blue"]}))
    assert door.reload().returncode == 0, door.log()
    wait_for_members(door, first)
    assert answers(door) == {"one"}


def test_orders_of_operators_hold_for_instances(world):
    first, second = world.member("one"), world.member("two")
    door = world.door()
    wait_for_members(door, first, second)
    ordered = run_program("drain", "-c", str(door.path), f"web/{first.address}", "--wait", "20s")
    assert ordered.returncode == 0, ordered.stderr
    assert answers(door) == {"two"}
    third = world.member("three")
    wait_until(lambda: third.address in upstreams(door), "another one joins", LONG)
    assert upstreams(door)[first.address]["state"] == "draining"


def test_a_wrong_token_is_told_and_a_right_one_taken_over(keeper, tmp_path):
    master = "5a9c3f1e-0000-4000-8000-0123456789ab"
    consul = keeper.keep(Consul(tmp_path / "consul", {"acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": master}}}, token=master))
    wait_until(lambda: consul.ask("GET", "/v1/acl/tokens")[0] == 200, "the rules are in force", LONG)
    world = World.__new__(World)
    world.keeper, world.folder, world.consul = keeper, tmp_path, consul
    first = wait_until(lambda: world.member("one"), "it is registered", LONG)
    policy = json.loads(consul.order("/v1/acl/policy", {"Name": "portunus", "Rules": 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'}))
    secret = json.loads(consul.order("/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]}))["SecretID"]
    token = tmp_path / "token"
    token.write_text("not-a-token-at-all\n")
    door = world.door(consul={"address": consul.address, "token": f"file:{token}"})
    wait_until(lambda: discovery(door).get("kept_reason") == "refused", "the token is refused", LONG)
    token.write_text(secret + "\n")
    wait_for_members(door, first)
    assert secret not in door.log() and "not-a-token-at-all" not in door.log()
    assert secret not in door.admin("/v1/pools").body.decode()

"""Under load: a member dies and comes back, and nobody notices."""

import pytest

from support.door import one_pool
from support.waiting import SCALE, wait_until

HEALTH = {"path": "/health", "interval": "200ms", "timeout": "5s", "rise": 1, "fall": 2}


def traffic(door, server):
    return door.metric("portunus_upstream_requests_total", upstream=server.address)


@pytest.mark.smoke
def test_plain_load_is_answered(portunus, keeper):
    server = keeper.nginx()
    door = portunus(one_pool(server))
    load = keeper.load(door, seconds=30 * SCALE)  # not as many as a slow machine gets through in so many seconds
    wait_until(lambda: traffic(door, server) > 100, "there is traffic")
    requests, failures = load.finish()
    assert failures == ""
    assert requests > 100
    wait_until(lambda: door.metric("portunus_http_requests_total") >= requests, "all are counted")


@pytest.mark.slow
def test_member_killed_under_load_costs_nothing(portunus, keeper):
    servers = [keeper.nginx() for _ in range(3)]
    door = portunus(one_pool(servers, pool={"health": HEALTH}))
    for server in servers:
        door.wait_for_state(server.address, "up")
    load = keeper.load(door, seconds=50 * SCALE)
    wait_until(lambda: traffic(door, servers[1]) > 100, "the member has traffic")
    servers[1].kill()
    door.wait_for_state(servers[1].address, "down")
    before = traffic(door, servers[1])
    servers[1].start()
    door.wait_for_state(servers[1].address, "up")
    wait_until(lambda: traffic(door, servers[1]) > before + 100, "the member has traffic again")
    requests, failures = load.finish()
    assert failures == "", failures
    assert requests > 1000


@pytest.mark.slow
def test_members_killed_one_after_the_other(portunus, keeper):
    servers = [keeper.nginx() for _ in range(2)]
    door = portunus(one_pool(servers, pool={"health": HEALTH}))
    for server in servers:
        door.wait_for_state(server.address, "up")
    load = keeper.load(door, seconds=50 * SCALE, connections=16)
    for _ in range(2):
        for server in servers:
            before = traffic(door, server)
            wait_until(lambda: traffic(door, server) > before + 50, "traffic")  # noqa: B023
            server.kill()
            door.wait_for_state(server.address, "down")
            server.start()
            door.wait_for_state(server.address, "up")
    _, failures = load.finish()
    assert failures == "", failures


@pytest.mark.slow
def test_memory_stays_under_load(portunus, keeper):
    door = portunus(one_pool(keeper.nginx(), threads=1))
    keeper.load(door, seconds=1, connections=64).result()
    before = door.resident_bytes()
    for _ in range(2):
        keeper.load(door, seconds=1, connections=64).result()
    if SCALE == 1:
        assert door.resident_bytes() - before < 1 << 20

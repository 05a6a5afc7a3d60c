"""Active probes: members join, leave and come back, and it can be seen why."""

import threading

import pytest

from support.door import one_pool
from support.ports import free_port
from support.upstream import serve_requests
from support.waiting import PATIENCE, wait_until
from support.wire import get

pytestmark = pytest.mark.smoke

# The time-out is long enough for a machine that stands still now and then.
PROBE = {"path": "/health", "interval": "50ms", "timeout": "5s", "rise": 2, "fall": 2}
TCP_PROBE = {"tcp": True, "interval": "50ms", "timeout": "5s", "rise": 2, "fall": 2}


class Worker:
    """A script whose health a test sets."""

    def __init__(self, name="worker"):
        self.name = name
        self.status, self.body = 200, b"fine"
        self.failures = 0  # of the next probes, whatever `status` says
        self.probes = 0
        self.traffic = 0
        self.probe = None

    def __call__(self, connection):
        serve_requests(self.answer)(connection)

    def answer(self, connection, request):
        if request.target.startswith("/health"):
            self.probes += 1
            self.probe = request
            if self.failures > 0:
                connection.reply(500)
                self.failures -= 1
            else:
                connection.reply(self.status, self.body)
        else:
            self.traffic += 1
            connection.reply(200, self.name.encode())


@pytest.fixture
def worker():
    return Worker()


def test_member_joins_after_its_first_good_probe(portunus, upstream, worker):
    worker.status = 503
    member = upstream(worker)
    door = portunus(one_pool(member, pool={"health": {**PROBE, "rise": 5}, "retry": "off"}))
    wait_until(lambda: worker.probes >= 2, "two probes")
    assert door.get().status == 503
    assert door.member(member.address)["state"] in ("down", "starting")
    assert worker.traffic == 0


def test_first_good_probe_is_enough(portunus, upstream, worker):
    member = upstream(worker)
    door = portunus(one_pool(member, pool={"health": {**PROBE, "interval": "1h", "rise": 5}}))
    door.wait_for_state(member.address, "up")
    assert worker.probes == 1
    assert door.get().status == 200


def test_member_leaves_and_comes_back(portunus, upstream):
    workers = [Worker("one"), Worker("two")]
    members = [upstream(worker) for worker in workers]
    door = portunus(one_pool(members, pool={"health": PROBE}))
    for member in members:
        door.wait_for_state(member.address, "up")
    workers[0].status = 500
    entry = door.wait_for_state(members[0].address, "down")
    assert "500" in str(entry), f"the reason is not told: {entry}"
    before = workers[0].traffic
    assert {door.get().body for _ in range(20)} == {b"two"}
    assert workers[0].traffic == before
    workers[0].status = 200
    door.wait_for_state(members[0].address, "up")
    assert {door.get().body for _ in range(20)} == {b"one", b"two"}
    wait_until(lambda: all(word in door.log() for word in (members[0].address, "down", "500")), "the log tells it")


def test_one_bad_probe_is_not_enough(portunus, upstream, worker):
    member = upstream(worker)
    door = portunus(one_pool(member, pool={"health": {**PROBE, "fall": 3}}))
    door.wait_for_state(member.address, "up")
    for _ in range(3):
        worker.failures = 1
        wait_until(lambda: worker.failures == 0, "a bad probe")
        bad = worker.probes
        wait_until(lambda: worker.probes > bad + 1, "good probes")
    assert door.metric("portunus_health_transitions_total", upstream=member.address, to="down") == 0


@pytest.mark.parametrize(("expect", "status", "body", "state"), [
    ({"status": [204]}, 200, b"", "down"), ({"status": ["200-299", 404]}, 404, b"", "up"),
    ({"body": "ready"}, 200, b"not re-ady", "down"), ({"body": "ready"}, 200, b"all ready here", "up"),
])
def test_expectations(portunus, upstream, worker, expect, status, body, state):
    worker.status, worker.body = status, body
    member = upstream(worker)
    door = portunus(one_pool(member, pool={"health": {**PROBE, "expect": expect}}))
    door.wait_for_state(member.address, state)


def test_probe_says_what_it_should(portunus, upstream, worker):
    member = upstream(worker)
    door = portunus(one_pool(member, pool={"health": {**PROBE, "host": "probe.local", "path": "/health?deep=1"}}))
    door.wait_for_state(member.address, "up")
    assert worker.probe.method == "GET"
    assert worker.probe.target == "/health?deep=1"
    assert worker.probe.header("host") == "probe.local"
    assert worker.probe.version == "1.1"


def test_probe_uses_its_own_port(portunus, upstream, worker):
    traffic, health = upstream(), upstream(worker)
    door = portunus(one_pool(traffic, pool={"health": {**PROBE, "port": health.port}}))
    door.wait_for_state(traffic.address, "up")
    assert door.get().status == 200
    assert all(not request.target.startswith("/health") for request in traffic.requests)
    worker.status = 500
    door.wait_for_state(traffic.address, "down")


def test_probe_that_is_not_answered_in_time_has_failed(portunus, upstream):
    release = threading.Event()

    def script(connection, request):
        if request.target == "/health" and not release.is_set():
            release.wait(20)
        connection.reply()

    member = upstream(serve_requests(script))
    door = portunus(one_pool(member, pool={"health": {**PROBE, "timeout": "300ms"}}))
    entry = door.wait_for_state(member.address, "down")
    assert "time" in str(entry).lower(), entry
    release.set()
    door.wait_for_state(member.address, "up")


def test_probe_of_garbage_has_failed(portunus, upstream):
    member = upstream(serve_requests(lambda c, r: c.send(b"garbage\r\n\r\n")))
    door = portunus(one_pool(member, pool={"health": PROBE}))
    door.wait_for_state(member.address, "down")


def test_tcp_probe_follows_the_listener(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member, pool={"health": TCP_PROBE}))
    door.wait_for_state(member.address, "up")
    assert door.get().status == 200
    member.close()
    entry = door.wait_for_state(member.address, "down")
    assert "refused" in str(entry).lower(), entry
    upstream(port=member.port)
    door.wait_for_state(member.address, "up")
    assert door.get().status == 200


def test_pool_without_a_health_key_is_probed_on_tcp(portunus, upstream):
    member = upstream()
    config = one_pool(member)
    del config["pools"]["web"]["health"]
    door = portunus(config)
    door.wait_for_state(member.address, "up")
    assert door.get().status == 200


def test_everybody_down_is_a_503(portunus):
    dead = f"127.0.0.1:{free_port()}"
    door = portunus(one_pool(dead, pool={"health": TCP_PROBE, "retry": "off"}))
    door.wait_for_state(dead, "down")
    response = door.get()
    assert response.status == 503
    assert b"no_healthy_upstream" in response.body
    assert "destination_unavailable" in response.header("proxy-status")


def test_running_requests_outlive_the_fall_of_their_member(portunus, upstream):
    release, worker = threading.Event(), Worker()

    def script(connection, request):
        if request.target == "/slow":
            release.wait(20)
        worker.answer(connection, request)

    member = upstream(serve_requests(script))
    door = portunus(one_pool(member, pool={"health": PROBE}))
    door.wait_for_state(member.address, "up")
    with door.connect() as client:
        client.send(get("/slow"))
        wait_until(lambda: any(r.target == "/slow" for r in member.requests), "the slow request has arrived")
        worker.status = 500
        door.wait_for_state(member.address, "down")
        release.set()
        assert client.read_response().status == 200


def test_failed_connect_asks_for_a_probe_soon(portunus, upstream):
    """The interval is long; the refused connection of real traffic is what tells."""
    member = upstream()
    health = {"tcp": True, "interval": "2s", "timeout": "1s", "rise": 1, "fall": 1}
    door = portunus(one_pool(member, pool={"health": health, "retry": "off"}))
    door.wait_for_state(member.address, "up")
    member.close()
    assert door.get().status in (502, 503)
    door.wait_for_state(member.address, "down", seconds=PATIENCE)


def test_probes_are_counted(portunus, upstream, worker):
    member = upstream(worker)
    door = portunus(one_pool(member, pool={"health": PROBE}))
    door.wait_for_state(member.address, "up")
    labels = {"pool": "web", "upstream": member.address}
    metrics = door.metrics()
    assert metrics.sum("portunus_health_checks_total", check="http", result="success", **labels) >= 1 or \
        metrics.sum("portunus_health_checks_total", check="http", **labels) >= 1
    assert metrics.sum("portunus_upstream_healthy", **labels) == 1
    assert metrics.sum("portunus_upstream_state", state="up", **labels) == 1
    assert metrics.sum("portunus_upstream_state", **labels) == 1
    worker.status = 500
    door.wait_for_state(member.address, "down")
    assert door.metric("portunus_health_transitions_total", to="down", **labels) == 1
    assert door.metric("portunus_upstream_healthy", **labels) == 0


def test_each_member_tells_since_when_and_its_last_probe(portunus, upstream, worker):
    member = upstream(worker)
    door = portunus(one_pool(member, pool={"health": PROBE}))
    entry = door.wait_for_state(member.address, "up")
    names = " ".join(entry)
    for word in ("since", "in_flight", "probe"):
        assert word in names, f"{word} is missing: {entry}"


@pytest.mark.parametrize("threads", [1, 2])
def test_member_that_comes_up_takes_those_who_wait_for_a_full_one(portunus, upstream, threads):
    release = threading.Event()

    def slow(connection, request):
        if request.target != "/health":
            release.wait(60)
        connection.reply(200, b"slow")

    second = Worker("second")
    second.status = 503
    members = [upstream(serve_requests(slow)), upstream(second)]
    pool = {"health": {**PROBE, "rise": 1}, "max_connections_per_upstream": 1, "overload": {"pending_timeout": "55s"}}
    door = portunus(one_pool(members, pool=pool, threads=threads))
    door.wait_for_state(members[0].address, "up")
    door.wait_for_state(members[1].address, "down")
    with door.connect() as first, door.connect() as waiting:
        first.send(get("/"))
        wait_until(lambda: door.member(members[0].address)["in_flight"] == 1, "the first member is full")
        waiting.send(get("/"))
        wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 1, "one waits")
        second.status = 200
        response = waiting.read_response()  # within PATIENCE, and nothing has been released
        assert (response.status, response.body) == (200, b"second")
        release.set()
        assert first.read_response().body == b"slow"

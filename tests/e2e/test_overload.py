"""`overload` of the file and `priority` of routes: what is refused when the program itself is short."""

import os
import signal
import threading

import pytest

from support.door import one_pool, run_program
from support.upstream import serve_requests
from support.waiting import wait_until
from support.wire import get, post
from test_access_log import entries, with_log

pytestmark = pytest.mark.smoke

MIB = 1 << 20
SERVED = {"respond": {"status": 200, "body": "x"}}
ROUTES = [
    {"match": {"path": "/low"}, **SERVED, "priority": "low"},
    {"match": {"path": "/normal"}, **SERVED, "priority": "normal"},
    {"match": {"path": "/health"}, **SERVED, "priority": "high"},
]


class Holding:
    """A member that answers when the test says so."""

    def __init__(self):
        self.release = threading.Event()

    def __call__(self, connection):
        serve_requests(self.answer)(connection)

    def answer(self, connection, _request):
        self.release.wait(50)
        connection.reply()


@pytest.fixture
def holding():
    member = Holding()
    yield member
    member.release.set()


def level(door, reason):
    return door.metric("portunus_overload_level", reason=reason)


def shed(door, **labels):
    return door.metric("portunus_overload_requests_shed_total", **labels)


def ask(client, path):
    client.send(get(path))
    return client.read_response()


def statuses(client):
    return [ask(client, path).status for path in ("/low", "/normal", "/health")]


def settled(door, bytes_held):
    """(level,) once the threads have seen that so much is held."""
    metrics = door.metrics()
    if metrics.sum("portunus_overload_memory_bytes") < bytes_held:
        return None
    return (metrics.sum("portunus_overload_level", reason="memory"),)


def test_memory(portunus, upstream, holding):
    """Bodies are held one after the other: first low priority is refused, then all but high, and new clients wait."""
    member = upstream(holding)
    config = one_pool(member, site={"routes": ROUTES, "priority": "high"}, threads=1, overload={"memory": "16MiB"},
                      pool={"retry": {"body_buffer": "1MiB", "for": "60s"}, "max_connections_per_upstream": 100},
                      timeouts={"keep_alive": "60s"})
    door = portunus(with_log(config))
    probe = door.connect()
    assert statuses(probe) == [200, 200, 200]
    clients = [door.connect() for _ in range(18)]
    for client in clients:
        assert ask(client, "/health").status == 200  # it is in
    held, seen = [], []
    for client in clients:
        client.send(post("/hold", b"x" * MIB, method="PUT"))
        held.append(client)
        now = wait_until(lambda: settled(door, len(held) * MIB), "its body is held")[0]
        if now not in seen:
            seen.append(now)
            if now == 1:
                refused = ask(probe, "/low")
                assert (refused.status, refused.header("Retry-After")) == (503, "1")
                assert b"overloaded" in refused.body
                assert statuses(probe) == [503, 200, 200]
        if now == 2:
            break
    assert seen == [0, 1, 2], f"with {len(held)} bodies"
    assert statuses(probe) == [503, 503, 200]
    late = door.connect()
    late.send(get("/normal"))
    wait_until(lambda: door.metric("portunus_connections_rejected_total", reason="overload") == 1, "it is left outside")
    wait_until(lambda: shed(door, reason="memory", priority="low") == 3, "they are counted")
    wait_until(lambda: shed(door, reason="memory", priority="normal") == 1, "and by their priority")
    assert door.metric("portunus_http_requests_rejected_total", reason="overloaded") == 4
    assert door.admin("/livez").status == 200
    wait_until(lambda: "only routes of high priority are served, and no new connections (memory)" in door.log(),
               "the log says so")
    holding.release.set()
    for client in held:
        assert client.read_response().status == 200
    assert late.read_response().status == 200, "it is let in"
    wait_until(lambda: level(door, "memory") == 0, "it is over")
    wait_until(lambda: "is no longer short" in door.log(), "the log says that, too")
    assert statuses(probe) == [200, 200, 200]
    reasons = [line["end_reason"] for line in entries(door, 3 + 18 + 4 + 3 + len(held) + 1 + 3)]
    assert reasons.count("overloaded") == 4
    assert set(reasons) == {"ok", "overloaded"}


def test_without_a_bound_nothing_is_refused(portunus, upstream, holding):
    member = upstream(holding)
    door = portunus(one_pool(member, site={"routes": ROUTES}, threads=1,
                             pool={"retry": {"body_buffer": "1MiB", "for": "60s"}}))
    client = door.connect()
    client.send(post("/hold", b"x" * MIB, method="PUT"))
    wait_until(lambda: settled(door, MIB), "its body is held")
    with door.connect() as probe:
        assert statuses(probe) == [200, 200, 200]
    holding.release.set()
    assert client.read_response().status == 200
    wait_until(lambda: door.metric("portunus_overload_memory_bytes") == 0, "all is given back")


def test_a_reload_changes_the_bound(portunus, upstream, holding):
    member = upstream(holding)
    config = one_pool(member, site={"routes": ROUTES}, threads=1,
                      pool={"retry": {"body_buffer": "1MiB", "for": "60s"}}, timeouts={"keep_alive": "60s"})
    door = portunus(config)
    client, probe = door.connect(), door.connect()
    assert ask(probe, "/low").status == 200
    client.send(post("/hold", b"x" * MIB, method="PUT"))
    wait_until(lambda: settled(door, MIB), "its body is held")
    door.write({**config, "overload": {"memory": "1MiB"}})
    assert door.reload().returncode == 0
    wait_until(lambda: level(door, "memory") == 2, "that is too much")
    assert statuses(probe) == [503, 503, 200]
    door.write(config)
    assert door.reload().returncode == 0
    wait_until(lambda: level(door, "memory") == 0, "there is no bound any more")
    assert statuses(probe) == [200, 200, 200]
    holding.release.set()
    assert client.read_response().status == 200


def test_descriptors(portunus, upstream, holding):
    """A client waits for a descriptor and nobody is idle: low priority gives way, and nothing else."""
    member = upstream(holding)
    door = portunus(one_pool(member, site={"routes": ROUTES}, threads=1, timeouts={"headers": "60s"}), open_files=64)
    probes = [door.connect() for _ in range(3)]
    for probe, path in zip(probes, ("/low", "/normal", "/health")):
        probe.send(get(path)[:-2])  # no more than begun: it is not idle
    wait_until(lambda: door.metric("portunus_connections_active") == 3, "they are in")

    def is_full():
        return door.metric("portunus_connections_rejected_total", reason="descriptors") > 0

    clients = []
    while not is_full():
        assert len(clients) < 64
        clients.append(door.connect())
        clients[-1].send(get("/hold"))
        wait_until(lambda: len(member.requests) == len(clients) or is_full(), "it is at the member, or waits")
    wait_until(lambda: level(door, "descriptors") == 1, "there is none left")
    for probe in probes:
        probe.send(b"\r\n")
    assert [probe.read_response().status for probe in probes] == [503, 200, 200]
    wait_until(lambda: shed(door, reason="descriptors", priority="low") == 1, "it is counted")
    holding.release.set()
    for client in clients:
        assert client.read_response().status == 200
    wait_until(lambda: level(door, "descriptors") == 0, "it is over")
    assert door.get("/low").status == 200


def test_loop_delay(portunus):
    """A process that stood still comes late to everything; then it recovers."""
    door = portunus({"sites": {"*": SERVED}, "threads": 1, "overload": {"loop_delay": "500ms"}})
    wait_until(lambda: level(door, "loop_delay") == 0, "all is well")
    os.kill(door.pid, signal.SIGSTOP)
    threading.Event().wait(4)
    os.kill(door.pid, signal.SIGCONT)
    wait_until(lambda: "(loop_delay)" in door.log(), "it has noticed")
    wait_until(lambda: level(door, "loop_delay") == 0, "and got over it")
    wait_until(lambda: "is no longer short" in door.log(), "and says so")
    assert door.get().status == 200


def test_explain_tells_the_priority(portunus):
    door = portunus({"sites": {"*": {"routes": ROUTES}}})
    for path, said in (("/low", "of low priority"), ("/health", "of high priority")):
        told = run_program("explain", "-c", str(door.path), f"http://test.local:{door.port}{path}", folder=door.folder)
        assert said in told.stdout, told

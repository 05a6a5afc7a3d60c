"""Reloads while requests run or wait: what a generation owned is not used after it, and what is counted stays true."""

import threading

from support.door import one_pool
from support.upstream import serve_requests
from support.waiting import wait_until
from support.wire import get


def named(upstream, name, **pool):
    """One pool of that name behind every path."""
    config = one_pool(upstream, pool=pool)
    config["pools"] = {name: config["pools"]["web"]}
    config["sites"]["*"]["pool"] = name
    return config


def reload(door, config):
    door.write(config)
    result = door.reload()
    assert result.returncode == 0, result


def hold(release):
    def script(connection, _request):
        release.wait(20)
        connection.reply()

    return serve_requests(script)


def test_answer_goes_on_while_its_pool_changes_and_leaves(portunus, upstream):
    """The pool has the settings of a generation that goes before the one that the request runs on."""
    steps = threading.Semaphore(0)

    def script(connection, _request):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(4):
            steps.acquire(timeout=20)
            connection.send(b"5\r\nhello\r\n")
        connection.send(b"0\r\n\r\n")

    member = upstream(serve_requests(script))
    door = portunus(named(member, "web"))
    with door.connect() as client:
        client.send(get("/"))
        steps.release()
        member.wait_for_requests(1)
        reload(door, named(member, "web", max_connections_per_upstream=7))
        reload(door, named(member, "api"))
        wait_until(lambda: door.metric("portunus_config_generations_alive") == 2, "the one between has gone")
        steps.release(3)
        assert client.read_response().body == b"hello" * 4
    wait_until(lambda: door.metric("portunus_config_generations_alive") == 1, "the old generation has gone")


def test_pool_that_comes_back_while_requests_wait_counts_them_right(portunus, upstream):
    release = threading.Event()
    member = upstream(hold(release))
    limits = {"max_connections_per_upstream": 1, "overload": {"max_pending": 4, "pending_timeout": "20s"}}
    door = portunus({**named(member, "web", **limits), "threads": 1})
    clients = [door.connect(patience=20) for _ in range(4)]
    for client in clients:
        client.send(get("/"))
    wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 3, "three wait")
    reload(door, {**named(member, "api", **limits), "threads": 1})
    reload(door, {**named(member, "web", **limits), "threads": 1})
    release.set()
    assert [client.read_response().status for client in clients] == [200] * 4
    assert door.metric("portunus_pool_queue_length", pool="web") == 0
    # The bound is what it was: one is served, four wait, the sixth is too many.
    release.clear()
    for client in clients + [door.connect(patience=20)]:
        client.send(get("/"))
    wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 4, "four wait")
    assert b"queue_full" in door.get().body
    release.set()


def test_higher_bound_lets_in_who_waits(portunus, upstream):
    release = threading.Event()
    member = upstream(hold(release))
    overload = {"pending_timeout": "20s"}
    door = portunus({**named(member, "web", max_connections_per_upstream=1, overload=overload), "threads": 1})
    clients = [door.connect(patience=20) for _ in range(4)]
    for client in clients:
        client.send(get("/"))
    wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 3, "three wait")
    reload(door, {**named(member, "web", max_connections_per_upstream=4, overload=overload), "threads": 1})
    wait_until(lambda: len(member.requests) == 4, "all run")
    release.set()
    assert [client.read_response().status for client in clients] == [200] * 4


def test_lower_bound_does_not_turn_away_who_waits(portunus, upstream):
    release = threading.Event()
    member = upstream(hold(release))

    def bounded(count):
        """A changed list of members wakes who waits, and they wait again."""
        overload = {"max_pending": count, "pending_timeout": "20s"}
        config = named(member, "web", max_connections_per_upstream=1, overload=overload)
        config["pools"]["web"]["upstreams"] = [{"address": member.address, "weight": count}]
        return {**config, "threads": 1}

    door = portunus(bounded(8))
    clients = [door.connect(patience=20) for _ in range(4)]
    for client in clients:
        client.send(get("/"))
    wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 3, "three wait")
    reload(door, bounded(1))
    release.set()
    assert [client.read_response().status for client in clients] == [200] * 4
    assert door.metric("portunus_pool_queue_length", pool="web") == 0


def test_connections_of_a_renamed_listener_are_counted_under_its_name(portunus, upstream):
    config = one_pool(upstream())
    door = portunus(config)
    clients = [door.connect() for _ in range(3)]
    for client in clients:
        client.send(get("/"))
        assert client.read_response().status == 200
    reload(door, {**config, "listeners": {"renamed": f"127.0.0.1:{door.port}"}})

    def active(name):
        return door.metric("portunus_connections_active", listener=name)

    assert (active("front"), active("renamed")) == (0, 3)
    for client in clients:
        client.close()
    wait_until(lambda: active("renamed") == 0, "all are closed")
    assert active("front") == 0

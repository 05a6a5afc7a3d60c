"""What is tried again when a member does not answer: unsent requests, broken ones, statuses; waiting for a member."""

import threading
import time

import pytest

from support.door import one_pool
from support.ports import free_port
from support.upstream import Upstream, serve_requests
from support.waiting import PATIENCE, SCALE, wait_until
from support.wire import get, post
from test_access_log import entries, with_log

pytestmark = pytest.mark.smoke


def hang_up(connection):
    connection.read_request()


def denials(door):
    return {labels["reason"]: value for labels, value in door.metrics().series("portunus_retries_denied_total")}


def test_one_of_three_alive(portunus, upstream):
    dead = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    alive = upstream()
    door = portunus(one_pool([*dead, alive]))
    with door.connect() as client:
        for i in range(60):
            client.send(get("/") if i % 2 else post("/", b"x" * 1000))
            assert client.read_response().status == 200


def test_a_request_waits_until_the_only_member_is_back(portunus):
    """Nobody listens; the request is not answered with an error, but when the member is there."""
    port = free_port()
    door = portunus(with_log(one_pool(f"127.0.0.1:{port}", pool={"retry": {"every": "300ms"}})))
    with door.connect() as client:
        client.send(post("/", b"body"))
        wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 1, "it waits")
        with Upstream(serve_requests(lambda c, r: c.reply(200, r.body)), port=port):
            assert client.read_response().body == b"body"
    entry, = entries(door, 1)
    assert entry["status"] == 200
    assert entry["queue_s"] > 0


def test_waiting_is_ended_by_the_probe_and_not_by_the_pause(portunus):
    port = free_port()
    health = {"tcp": True, "interval": "100ms", "timeout": "1s", "rise": 1, "fall": 1}
    door = portunus(one_pool(f"127.0.0.1:{port}", pool={"health": health, "retry": {"every": "1h", "for": "1h"}}))
    door.wait_for_state(f"127.0.0.1:{port}", "down")
    with door.connect() as client:
        client.send(get("/"))
        wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 1, "it waits")
        with Upstream(port=port):
            assert client.read_response().status == 200


def test_after_the_window_there_is_an_answer(portunus):
    dead = f"127.0.0.1:{free_port()}"
    door = portunus(with_log(one_pool(dead, pool={"retry": {"for": "3s", "every": "200ms"}})))
    begin = time.monotonic()
    assert door.get().status == 502
    assert 0.6 < time.monotonic() - begin < PATIENCE
    entry, = entries(door, 1)
    assert entry["attempts"] >= 2
    assert entry["retry_reason"] == entry["end_reason"] == "upstream_connect"
    assert door.metrics().sum("portunus_retries_total", pool="web", result="failure") == 1


@pytest.mark.parametrize("method, times", [("GET", 3), ("DELETE", 3), ("POST", 1), ("PATCH", 1)])
def test_what_was_sent_is_sent_again_if_its_method_allows(portunus, upstream, method, times):
    members = [upstream(hang_up) for _ in range(3)]
    door = portunus(one_pool(members, pool={"retry": {"for": "5s", "every": "1h"}}))
    assert door.ask(get("/", method=method)).status == 502
    assert sum(len(member.requests) for member in members) == times


def first_and_then(first, then, **pool):
    """The second member takes what the first one does not."""
    return one_pool([], pool={"upstreams": [first.address, {"address": then.address, "backup": True}], **pool})


@pytest.mark.parametrize("fields, status", [([], 502), (["Idempotency-Key: 5"], 200)])
def test_a_post_is_executed_once_unless_it_says_that_it_may_be_repeated(portunus, upstream, fields, status):
    broken, good = upstream(hang_up), upstream(serve_requests(lambda c, r: c.reply(200, r.body)))
    door = portunus(first_and_then(broken, good))
    response = door.ask(post("/", b"order", *fields))
    assert response.status == status
    if status == 200:
        assert response.body == b"order"
    assert len(broken.requests) == 1
    assert len(good.requests) == (1 if status == 200 else 0)
    assert denials(door) == ({} if status == 200 else {"method": 1})


@pytest.mark.parametrize("size, status", [(60_000, 200), (70_000, 502)])
def test_a_body_is_sent_again_when_it_was_kept(portunus, upstream, size, status):
    broken, good = upstream(hang_up), upstream(serve_requests(lambda c, r: c.reply(200, r.body)))
    door = portunus(first_and_then(broken, good))
    body = bytes(i % 251 for i in range(size))
    response = door.ask(post("/", body, method="PUT"))
    assert response.status == status
    if status == 200:
        assert response.body == body


def test_listed_statuses_are_tried_elsewhere_and_others_pass(portunus, upstream):
    def answers(status):
        return upstream(serve_requests(lambda c, r: c.reply(status, b"from %d" % status)))

    for bad, seen in ((503, {200}), (500, {200, 500})):
        door = portunus(one_pool([answers(bad), answers(200)], pool={"balance": "round_robin"}, threads=1))
        assert {door.get().status for _ in range(4)} == seen


def test_the_members_own_error_comes_when_all_have_it(portunus, upstream):
    members = [upstream(serve_requests(lambda c, r: c.reply(503, b"sorry", "X-From: member"))) for _ in range(2)]
    door = portunus(with_log(one_pool(members, pool={"retry": {"for": "5s", "every": "1h"}})))
    response = door.get()
    assert (response.status, response.body, response.header("x-from")) == (503, b"sorry", "member")
    entry, = entries(door, 1)
    assert (entry["end_reason"], entry["retry_reason"], entry["attempts"]) == ("ok", "upstream_status", 2)


@pytest.mark.parametrize("method, is_kept, status", [("GET", False, 200), ("GET", True, 200), ("POST", True, 502)])
def test_a_head_that_breaks_off_is_no_answer(portunus, upstream, method, is_kept, status):
    """Nobody has seen any of it. It is the member's failure on a kept connection too, which is not tried at once again."""

    def breaks_off(connection, _request):
        if is_kept and len(connection.requests) == 1:
            connection.reply()
            return
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        connection.reset()

    broken, good = upstream(serve_requests(breaks_off)), upstream()
    door = portunus({**first_and_then(broken, good), "threads": 1})
    if is_kept:
        assert door.get().status == 200
    assert door.ask(get("/", method=method)).status == status
    assert len(broken.requests) == (2 if is_kept else 1)
    assert len(good.requests) == (1 if status == 200 else 0)
    assert door.metrics().sum("portunus_upstream_errors_total", reason="upstream_reset") == 1


def test_a_silent_member_costs_one_try(portunus, upstream):
    silent = upstream(lambda connection: connection.read_request() and connection.fill())
    good = upstream()
    door = portunus(first_and_then(silent, good, retry={"per_try": "1500ms"}))
    assert door.get().status == 200
    assert len(silent.requests) == 1
    assert door.metrics().sum("portunus_retries_total", reason="upstream_timeout", result="success") == 1


def test_all_requests_of_a_crashed_member_are_saved_within_the_budget(portunus, upstream):
    """Thirty requests break at once: each is answered by the other member, which never sees more than the budget."""
    go, lock = threading.Event(), threading.Lock()
    now, most = 0, 0

    def crash(connection, _request):
        go.wait(PATIENCE)
        connection.close()

    def count(connection, _request):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)  # long enough for others to come, if they were let in
        with lock:
            now -= 1
        connection.reply()

    broken, good = upstream(serve_requests(crash)), upstream(serve_requests(count))
    door = portunus({**first_and_then(broken, good, overload={"max_pending": 100}), "threads": 1})
    clients = [door.connect() for _ in range(30)]
    try:
        for client in clients:
            client.send(get("/"))
        broken.wait_for_requests(30)
        go.set()
        assert [client.read_response().status for client in clients] == [200] * 30
    finally:
        for client in clients:
            client.close()
    assert len(good.requests) == 30
    assert most <= 6  # 20 % of 30
    assert denials(door) == {}


def test_kills_under_load_cost_no_request(keeper, portunus):
    """Three real servers; two of them at a time are killed and started again while wrk runs."""
    servers = [keeper.nginx() for _ in range(3)]
    door = portunus(one_pool([server.address for server in servers],
                             pool={"health": {"path": "/health", "interval": "200ms", "timeout": "2s"}}))
    load = keeper.load(door, seconds=50 * SCALE, connections=32)
    for i in range(4):
        pair = [servers[i % 3], servers[(i + 1) % 3]]
        for server in pair:
            server.kill()
        for server in pair:
            door.wait_for_state(server.address, "down", seconds=15 * SCALE)
        for server in pair:
            server.start()
        for server in pair:
            door.wait_for_state(server.address, "up", seconds=15 * SCALE)
    requests, failures = load.finish()
    assert failures == ""
    assert requests > 500

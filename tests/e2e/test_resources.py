"""THREATS.md section 3: slow, large and many; each has a bound, and the bound has an answer."""

import os
import select
import signal
import threading
import time

import pytest

from support.door import one_pool
from support.ports import free_port
from support.upstream import serve_requests
from support.waiting import PATIENCE, SCALE, wait_until
from support.wire import Truncated, chunked, connect, get, head, post

OWN = {"sites": {"*": {"respond": {"status": 200, "body": "x"}}}}
SHORT_S = 0.2  # the time-outs of these tests
LATE_S = 9  # before the 10 s that would be the shortest of the defaults


def quick(**timeouts):
    return {**OWN, "timeouts": {name: f"{int(SHORT_S * 1000)}ms" for name in timeouts}}


def expect_close_between(client, stopwatch, begin, earliest=SHORT_S * 0.9, latest=LATE_S):
    """`begin`: before the time-out can have begun."""
    client.patience = latest
    data = client.read_until_end()
    passed = stopwatch() - begin
    assert earliest <= passed <= latest, f"closed after {passed:.2f} s"
    return data


# ---- time


@pytest.mark.smoke
def test_silent_client(portunus, stopwatch):
    door = portunus(quick(headers=1))
    begin = stopwatch()
    with door.connect() as client:
        assert expect_close_between(client, stopwatch, begin) == b""


@pytest.mark.smoke
@pytest.mark.parametrize("data", [b"G", b"GET / HTTP/1.1\r\nHost: test.local\r\nX-A"], ids=["a byte", "half"])
def test_slow_head(portunus, stopwatch, data):
    """Of a second request, whose time runs from its first byte: that of the first one, from the accept, might be over
    before this test has sent anything."""
    door = portunus(OWN)
    with door.connect() as client:
        client.send(get("/"))
        assert client.read_response().status == 200
        door.write(quick(headers=1))
        assert door.reload().returncode == 0
        begin = stopwatch()
        client.send(data)
        assert expect_close_between(client, stopwatch, begin).startswith(b"HTTP/1.1 408 ")


def test_head_in_drops_is_as_slow(portunus, stopwatch):
    """A byte now and then renews nothing; the first one has two seconds to come."""
    door = portunus({**OWN, "timeouts": {"headers": "2s"}})
    with door.connect() as client:
        begin = stopwatch()
        pause = threading.Event()
        for byte in get("/", "X-A: " + "a" * 1000):
            client.try_send(bytes([byte]))
            if select.select([client.sock], [], [], 0)[0]:
                break
            pause.wait(0.02)
        assert stopwatch() - begin <= LATE_S
        assert client.read_response().status == 408


def test_idle_connection_is_closed(portunus, stopwatch):
    door = portunus(quick(keep_alive=1))
    with door.connect() as client:
        begin = stopwatch()
        client.send(get("/"))
        assert client.read_response().status == 200
        assert expect_close_between(client, stopwatch, begin) == b""


@pytest.mark.smoke
def test_slow_body(portunus, upstream, stopwatch):
    member = upstream()
    door = portunus(one_pool(member, timeouts={"body": "200ms"}))
    with door.connect() as client:
        begin = stopwatch()
        client.send(head("POST / HTTP/1.1", "Content-Length: 10") + b"half")
        answer = expect_close_between(client, stopwatch, begin)
        assert answer.startswith(b"HTTP/1.1 408 "), answer
    member.wait_for(lambda u: u.open_connections == 0, "the member's connection is closed")


@pytest.mark.smoke
def test_body_in_drops_is_as_slow(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member, timeouts={"body": "300ms", "min_rate": "100KiB/s"}))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 1000000"))
        while client.try_send(b"x") and not select.select([client.sock], [], [], 0.02)[0]:
            pass
        assert client.read_response().status == 408
    member.wait_for(lambda u: u.open_connections == 0, "the member's connection is closed")


def test_steady_body_may_take_long(portunus, upstream):
    each = {name: "3s" for name in ("headers", "body", "write", "keep_alive")}  # much more than a pause, less than all
    door = portunus(one_pool(upstream(), timeouts={**each, "min_rate": "0/s"}))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 14"))
        pause = threading.Event()
        for _ in range(14):
            client.send(b"x")
            pause.wait(0.25)
        assert client.read_response().status == 200


@pytest.mark.smoke
def test_slow_reader_is_cut_off(portunus, upstream):
    def script(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1000):
            connection.send(b"x" * 100_000)

    member = upstream(script)
    door = portunus(one_pool(member, timeouts={"write": "300ms"}))
    with door.connect(receive_buffer=8192) as client:
        client.send(get("/"))
        member.wait_for(lambda u: u.connections and not u.connections[0].is_open, "the answer is given up")
        wait_until(lambda: door.metric("portunus_connections_active") == 0, "the client is cut off")


def test_slow_answer_is_no_slow_client(portunus, upstream):
    """None of the client's times runs while the member thinks."""
    release = threading.Event()

    def script(connection, request):
        if request.target == "/slow":
            release.wait(0.5)
        connection.reply()

    member = upstream(serve_requests(script))
    door = portunus(one_pool(member))
    clients = [door.connect() for _ in range(2)]
    for client in clients:  # the time of a first head runs from the accept, and is not what this is about
        client.send(get("/"))
        assert client.read_response().status == 200
    door.write(one_pool(member, timeouts={name: "200ms" for name in ("headers", "body", "write", "keep_alive")}))
    assert door.reload().returncode == 0
    for client, request in zip(clients, (post("/slow", b"body"), get("/slow"))):
        client.send(request)
        assert client.read_response().status == 200
        client.close()


# ---- size


def test_long_target_is_a_414(portunus):
    door = portunus({**OWN, "limits": {"uri_bytes": "1KiB"}})
    assert door.get("/" + "u" * 900).status == 200
    with door.connect() as client:
        client.send(get("/" + "u" * 1100))
        assert client.read_response().status == 414
        client.expect_end()


def test_endless_request_line_is_a_414(portunus):
    door = portunus(OWN)
    with door.connect() as client:
        client.try_send(b"GET /" + b"u" * 1_000_000)
        assert client.read_response().status in (400, 414)
        client.expect_end()


@pytest.mark.parametrize("fields", [["X-Big: " + "b" * 5000], ["X-%d: v" % n for n in range(30)]], ids=["bytes", "count"])
def test_large_head_is_a_431(portunus, fields):
    door = portunus({**OWN, "limits": {"header_bytes": "4KiB", "header_count": 20}})
    assert door.get("/", "X-Fine: " + "f" * 3000).status == 200
    with door.connect() as client:
        client.send(get("/", *fields))
        assert client.read_response().status == 431
        client.expect_end()


def test_endless_head_is_a_431(portunus):
    door = portunus(OWN)
    with door.connect() as client:
        client.try_send(b"GET / HTTP/1.1\r\nHost: test.local\r\nX-A: " + b"a" * 1_000_000)
        assert client.read_response().status == 431
        client.expect_end()


def test_body_over_the_limit_is_a_413_before_it_is_read(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member, limits={"body_bytes": "1KiB"}))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 2000"))
        assert client.read_response().status == 413
        client.expect_end()
    assert member.received == b""
    assert door.ask(post("/", b"x" * 1024)).status == 200


def test_continue_is_not_given_for_a_body_over_the_limit(portunus, upstream):
    door = portunus(one_pool(upstream(), limits={"body_bytes": "1KiB"}))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 2000", "Expect: 100-continue"))
        response = client.read_response()
        assert (response.status, response.interim) == (413, [])


@pytest.mark.smoke
def test_chunked_body_over_the_limit_is_a_413(portunus, upstream):
    def script(connection):
        request = connection.read_head()
        if request:
            connection.read_body(request, False)
            connection.reply()

    member = upstream(script)
    door = portunus(one_pool(member, limits={"body_bytes": "1KiB"}))
    with door.connect() as client:
        client.try_send(head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + chunked(*[b"x" * 300] * 20)[:-5])
        assert client.read_response().status == 413
        client.expect_end()
    member.wait_for(lambda u: u.open_connections == 0, "the member's connection is closed")
    assert b"0\r\n\r\n" not in member.received, "the member took the cut body for a whole one"
    whole = head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + chunked(b"x" * 1000)
    assert door.ask(whole).status == 200


def test_next_request_behind_a_body_over_the_limit_is_its_own(portunus, upstream):
    """A body that came whole may leave the connection open; then framing is kept."""
    member = upstream()
    door = portunus(one_pool(member, limits={"body_bytes": "1KiB"}))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + chunked(*[b"x" * 300] * 20) + get("/next"))
        assert client.read_response().status == 413
        if client.fill():
            assert client.read_response().status == 200
            assert "/next" in [request.target for request in member.requests]


def test_route_may_have_its_own_limit(portunus, upstream):
    member = upstream()
    routes = [{"match": {"path": "/upload"}, "pool": "web", "limits": {"body_bytes": 0}}]
    door = portunus(one_pool(member, site={"routes": routes}, limits={"body_bytes": "1KiB"}))
    assert door.ask(post("/upload", b"x" * 100_000)).status == 200
    assert door.ask(post("/else", b"x" * 100_000, "Connection: close")).status == 413


def test_refusal_is_readable_while_the_client_still_sends(portunus, upstream):
    """A close with unread bytes would reset the connection and lose the answer."""
    door = portunus(one_pool(upstream(), limits={"body_bytes": "1KiB"}))
    for _ in range(10):
        with door.connect() as client:
            client.try_send(head("POST / HTTP/1.1", "Content-Length: 100000") + b"x" * 100_000)
            assert client.read_response().status == 413


# ---- number


@pytest.mark.smoke
@pytest.mark.parametrize("threads", [1, 2])
def test_connections_of_a_listener_are_limited(portunus, threads):
    port = free_port()
    front = {"address": f"127.0.0.1:{port}", "max_connections": 10}
    portunus({**OWN, "listeners": {"front": front}, "threads": threads})
    clients = []
    for _ in range(10):
        client = connect(port)
        client.send(get("/"))
        assert client.read_response().status == 200
        clients.append(client)
    with connect(port) as waiting:
        waiting.send(get("/"))
        waiting.expect_silence(0.2)
        clients.pop().close()
        clients.pop().close()
        assert waiting.read_response().status == 200
    for client in clients:
        client.close()


@pytest.mark.smoke
def test_each_connection_that_waits_is_counted_once(portunus):
    port = free_port()
    config = {**OWN, "listeners": {"front": {"address": f"127.0.0.1:{port}", "max_connections": 1}}, "threads": 1}
    door = portunus(config)

    def waited():
        return door.metric("portunus_connections_rejected_total", listener="front")

    first = connect(port)
    first.send(get("/"))
    assert first.read_response().status == 200
    assert waited() == 0
    second, third = connect(port), connect(port)
    wait_until(lambda: waited() == 1, "the second one is at the head of the queue")
    for _ in range(3):  # each looks at it again
        assert door.reload().returncode == 0
    assert waited() == 1
    for client, before in ((second, first), (third, second)):
        before.close()
        client.send(get("/"))
        assert client.read_response().status == 200
        wait_until(lambda: waited() == 2, "the third one has come to the head")
    third.close()
    with connect(port) as last:
        wait_until(lambda: door.metric("portunus_connections_active", listener="front") <= 1, "there is room")
        last.send(get("/"))
        assert last.read_response().status == 200


def ask_each(clients):
    """How many of these get an answer, each within a moment."""
    answered = 0
    for client in clients:
        client.patience = PATIENCE
        try:
            answered += client.read_response().status == 200
        except Truncated:
            pass
        client.close()
    return answered


@pytest.mark.smoke
def test_few_descriptors_pause_and_do_not_end_it(portunus):
    door = portunus({**OWN, "threads": 2}, open_files=64)
    clients = [door.connect(patience=20) for _ in range(200)]
    for client in clients:
        client.try_send(get("/", "Connection: close"))
    assert door.admin("/livez").status == 200
    assert door.metrics().sum("process_max_fds") == 64
    assert ask_each(clients) == 200, "those that wait are served when others leave"
    assert door.get().status == 200


@pytest.mark.smoke
def test_few_descriptors_with_silent_clients(portunus):
    """Connections that say nothing fill the descriptors: the admin interface answers, and closing some lets others in."""
    door = portunus({**OWN, "threads": 2}, open_files=64)
    clients = [door.connect(patience=20) for _ in range(200)]
    wait_until(lambda: door.metric("portunus_connections_active") >= 10, "some are in")
    assert door.admin("/readyz").status == 200
    began = time.process_time()
    assert door.open_files() <= 64
    for client in clients[:150]:
        client.close()
    for client in clients[150:]:
        client.close()
    wait_until(lambda: door.metric("portunus_connections_active") == 0, "all have left")
    assert door.get().status == 200
    assert time.process_time() - began < PATIENCE


@pytest.mark.smoke
def test_few_descriptors_leave_some_for_members(portunus, upstream):
    door = portunus(one_pool(upstream()), open_files=64)
    clients = [door.connect(patience=20) for _ in range(150)]
    for client in clients:
        client.try_send(get("/", "Connection: close"))
    assert ask_each(clients) == 150, "clients took the descriptors that members need"


@pytest.mark.smoke
def test_who_becomes_idle_makes_room_for_who_waits(portunus, upstream, stopwatch):
    """More clients than descriptors, each of which stays after its answer."""
    full = threading.Event()

    def answer(connection, _request):
        full.wait(PATIENCE * 2)
        connection.reply()

    door = portunus(one_pool(upstream(serve_requests(answer)), threads=1, timeouts={"keep_alive": "60s"}), open_files=64)
    clients = [door.connect(patience=PATIENCE) for _ in range(60)]
    for client in clients:
        client.try_send(get("/"))
    wait_until(lambda: door.metric("portunus_connections_rejected_total", reason="descriptors") > 0, "somebody has to wait")
    begin = stopwatch()
    full.set()
    assert ask_each(clients) == 60
    assert stopwatch() - begin < PATIENCE


@pytest.mark.smoke
def test_kept_connections_to_members_make_room_for_clients(portunus, upstream):
    members = [upstream() for _ in range(40)]
    door = portunus(one_pool(members, threads=1, pool={"balance": "round_robin"}), open_files=64)
    for _ in range(120):
        assert door.get().status == 200
    assert sum(len(member.requests) for member in members) == 120


@pytest.mark.parametrize(("files", "threads"), [(24, 1), (47, 1), (60, 4)])
def test_too_few_descriptors_to_start_are_told(portunus, files, threads):
    door = portunus({**OWN, "threads": threads}, open_files=files, may_end_badly=True, wait_ready=False)
    assert door.wait() == 1
    assert f"{files}" in door.log() and "ulimit -n" in door.log(), door.log()


def test_paused_accept_does_not_spin(portunus):
    door = portunus({**OWN, "threads": 1}, open_files=64)
    clients = [door.connect() for _ in range(100)]
    wait_until(lambda: door.metric("portunus_connections_active") >= 10, "some are in")
    before = door.metric("process_cpu_seconds_total")
    threading.Event().wait(0.5)  # what is measured is how little it does in this time
    assert door.metric("process_cpu_seconds_total") - before < 0.25
    for client in clients:
        client.close()


def test_two_thousand_idle_connections(portunus):
    door = portunus({**OWN, "threads": 1})
    before = door.resident_bytes()
    clients = []
    for _ in range(2000):
        client = door.connect()
        client.send(get("/"))
        clients.append(client)
    for client in clients:
        assert client.read_response().status == 200
    assert door.metric("portunus_connections_active") == 2000
    growth = (door.resident_bytes() - before) / 2000
    if SCALE == 1:
        assert growth < 2048, f"{growth:.0f} bytes for each idle connection"
    for client in clients:
        client.close()
    wait_until(lambda: door.metric("portunus_connections_active") == 0, "all have left")


def test_descriptors_are_given_back(portunus, upstream):
    member = upstream()
    # One thread: libuv opens a reserve of its own for each loop when it meets its first connection.
    door = portunus(one_pool(member, threads=1, pool={"timeouts": {"idle": "100ms"}}, timeouts={"keep_alive": "100ms"}))
    door.get()
    wait_until(lambda: door.metric("portunus_upstream_connections") == 0, "idle")
    before = door.open_files()
    for _ in range(100):
        client = door.connect()
        client.send(get("/"))
        client.reset()
    for _ in range(50):
        assert door.get().status == 200
    wait_until(lambda: door.open_files() <= before, "as many open files as before")


def test_the_output_of_services_leaves_descriptors_for_the_proxy(portunus):
    """Thirty that talk, where the supervisor may have 64: some are not heard, and the front door is there."""
    service = {"command": "echo hello; exec sleep 600", "replicas": 30}
    door = portunus({**OWN, "threads": 1, "services": {"talkers": service}}, open_files=64)
    wait_until(lambda: door.metric("portunus_supervisor_replicas", service="talkers", kind="ready") == 30, "all run", 60 * SCALE)
    wait_until(lambda: "its output is not kept: too few file descriptors are left" in door.log(), "it is told")
    before = door.pid
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: door.proxy_pid() not in (None, before) and door.is_ready(), "another proxy serves")
    assert door.get().status == 200
    assert "the supervisor has gone" not in door.log()

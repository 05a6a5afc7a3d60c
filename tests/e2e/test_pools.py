"""Which member gets a request, connections to members, queues, and members that fail to connect."""

import collections
import threading
import time

import pytest

from support.door import one_pool
from support.ports import free_port, listening_socket
from support.upstream import serve_requests
from support.waiting import SCALE, wait_until
from support.wire import connect, get, post

pytestmark = pytest.mark.smoke


def share(members):
    return [len(member.requests) for member in members]


def ask_many(door, count, request=get("/")):
    """Statuses of `count` requests on one connection."""
    statuses = collections.Counter()
    with door.connect() as client:
        for _ in range(count):
            client.send(request)
            statuses[client.read_response().status] += 1
    return statuses


def with_weights(members, *weights):
    return [{"address": member.address, "weight": weight} for member, weight in zip(members, weights)]


# ---- balance


@pytest.mark.parametrize("balance", ["least_connections", "round_robin", "random_two"])
def test_equal_members_share_equally(portunus, upstream, balance):
    members = [upstream() for _ in range(3)]
    door = portunus(one_pool(members, pool={"balance": balance}, threads=1))
    assert ask_many(door, 300) == {200: 300}
    assert all(60 <= count <= 140 for count in share(members)), share(members)


@pytest.mark.parametrize("balance", ["least_connections", "round_robin", "random_two"])
def test_weights_are_kept(portunus, upstream, balance):
    members = [upstream() for _ in range(2)]
    door = portunus(one_pool([], pool={"upstreams": with_weights(members, 3, 1), "balance": balance}, threads=1))
    # Idle members: what decides is the weight alone.
    assert ask_many(door, 400) == {200: 400}
    heavy, light = share(members)
    assert heavy + light == 400
    assert 240 <= heavy <= 360, share(members)


def test_least_connections_avoids_the_busy_member(portunus, upstream):
    release = threading.Event()

    def slow(connection, request):
        if request.target == "/slow":
            release.wait(20)
        connection.reply()

    members = [upstream(serve_requests(slow)) for _ in range(2)]
    door = portunus(one_pool(members))
    with door.connect() as client:
        client.send(get("/slow"))
        wait_until(lambda: sum(share(members)) == 1, "the slow request has arrived")
        busy = max(members, key=lambda member: len(member.requests))
        for _ in range(20):  # on both threads: the count is shared
            assert door.get("/quick").status == 200
        assert len(busy.requests) == 1
        release.set()
        assert client.read_response().status == 200


def test_backup_is_used_only_without_primaries(portunus, upstream):
    primary, backup = upstream(), upstream()
    members = [primary.address, {"address": backup.address, "backup": True}]
    door = portunus(one_pool([], pool={"upstreams": members}, threads=1))
    assert ask_many(door, 20) == {200: 20}
    assert share([primary, backup]) == [20, 0]
    primary.close()
    assert ask_many(door, 20) == {200: 20}
    assert share([primary, backup]) == [20, 20]


@pytest.mark.parametrize(("hash_on", "field"), [("header:X-User", "X-User: u{}"),
                                                ("cookie:session", "Cookie: a=b; session=u{}")])
def test_consistent_hash_sticks(portunus, upstream, hash_on, field):
    members = [upstream(serve_requests(lambda c, r, i=i: c.reply(200, str(i).encode()))) for i in range(4)]
    door = portunus(one_pool(members, pool={"balance": "consistent_hash", "hash_on": hash_on}))
    homes = {}
    with door.connect() as client:
        for _ in range(3):
            for user in range(40):
                client.send(get("/", field.format(user)))
                homes.setdefault(user, set()).add(client.read_response().body)
    assert all(len(home) == 1 for home in homes.values()), homes
    assert len(set.union(*homes.values())) == 4


def test_consistent_hash_moves_only_what_it_must(portunus, upstream):
    members = [upstream(serve_requests(lambda c, r, i=i: c.reply(200, str(i).encode()))) for i in range(4)]
    door = portunus(one_pool(members, pool={"balance": "consistent_hash", "hash_on": "path"}))

    def homes():
        return {path: door.get(path).body for path in (f"/{n}" for n in range(60))}

    before = homes()
    members[0].close()
    after = homes()
    moved = {path for path in before if before[path] != after[path]}
    assert moved == {path for path in before if before[path] == b"0"}


def test_a_bound_sends_a_busy_members_keys_on(portunus, upstream):
    """Two members, one key, a quarter more than the share: the third request that is under way goes to the other one."""
    release = threading.Event()

    def slow(connection, _request):
        release.wait(30)
        connection.reply()

    members = [upstream(serve_requests(slow)) for _ in range(2)]
    pool = {"balance": "consistent_hash", "hash_on": "path", "hash_bound": "25%"}
    door = portunus(one_pool(members, pool=pool, threads=1))
    clients = [threading.Thread(target=lambda: door.get("/key")) for _ in range(3)]
    shares = []
    for i, client in enumerate(clients):
        client.start()
        wait_until(lambda i=i: sum(share(members)) == i + 1, "it has arrived")
        shares.append(sorted(share(members)))
    assert shares == [[0, 1], [0, 2], [1, 2]]
    wait_until(lambda: door.metric("portunus_pool_hash_passed_over_total", pool="web") == 1, "it is counted")
    release.set()
    for client in clients:
        client.join()


def test_source_sticks_to_the_client(portunus, upstream):
    members = [upstream() for _ in range(4)]
    door = portunus(one_pool(members, pool={"balance": "source"}))
    for _ in range(20):
        assert door.get().status == 200
    assert sorted(share(members)) == [0, 0, 0, 20]


# ---- connections


def test_connections_grow_with_concurrency_only(portunus, upstream):
    everyone = threading.Barrier(5)

    def together(connection, request):
        if request.target == "/together":
            everyone.wait(20)
        connection.reply()

    member = upstream(serve_requests(together))
    door = portunus(one_pool(member, threads=1))
    clients = [door.connect() for _ in range(5)]
    for client in clients:
        client.send(get("/together"))
    for client in clients:
        assert client.read_response().status == 200
        client.close()
    assert ask_many(door, 50) == {200: 50}
    assert len(member.connections) == 5


def test_idle_connections_are_closed_in_time(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member, pool={"timeouts": {"idle": "200ms"}}, threads=1))
    assert door.get().status == 200
    member.wait_for(lambda u: u.open_connections == 0, "the idle connection is closed")
    assert door.get().status == 200


def hold(release):
    def script(connection, _request):
        release.wait(20)
        connection.reply()

    return serve_requests(script)


def test_connections_to_a_member_are_limited_and_others_wait(portunus, upstream):
    release = threading.Event()
    member = upstream(hold(release))
    pool = {"max_connections_per_upstream": 2, "overload": {"pending_timeout": "20s"}}
    door = portunus(one_pool(member, pool=pool))
    clients = [door.connect(patience=20) for _ in range(6)]
    for i, client in enumerate(clients):
        client.send(get("/"))
        member.wait_for_requests(min(i + 1, 2))  # two threads at once might both find room
    wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 4, "four wait")
    assert len(member.connections) == 2
    release.set()
    assert [client.read_response().status for client in clients] == [200] * 6
    # A thread may close one of its idle connections to let the other thread have its turn.
    member.wait_for(lambda u: u.open_connections <= 2, "no more than two connections are open")
    assert door.metric("portunus_upstream_connections", pool="web") <= 2
    assert door.metric("portunus_pool_queue_length", pool="web") == 0


def test_waiting_too_long_is_a_503(portunus, upstream, stopwatch):
    release = threading.Event()
    member = upstream(hold(release))
    pool = {"max_connections_per_upstream": 1, "overload": {"pending_timeout": "200ms"}}
    door = portunus(one_pool(member, pool=pool))
    with door.connect() as first, door.connect() as second:
        first.send(get("/"))
        member.wait_for_requests(1)
        second.send(get("/"))
        begin = stopwatch()
        response = second.read_response()
        assert response.status == 503
        assert b"queue_timeout" in response.body
        assert stopwatch() - begin < 4.5 * SCALE, "the default is 5 s"
        release.set()
        assert first.read_response().status == 200


def test_full_queue_is_a_503_at_once(portunus, upstream):
    release = threading.Event()
    member = upstream(hold(release))
    pool = {"max_connections_per_upstream": 1, "overload": {"max_pending": 1, "pending_timeout": "20s"}}
    door = portunus(one_pool(member, pool=pool, threads=1))
    with door.connect() as first, door.connect(patience=20) as second:
        first.send(get("/"))
        member.wait_for_requests(1)
        second.send(get("/"))
        wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 1, "one waits")
        response = door.get()
        assert response.status == 503
        assert b"queue_full" in response.body
        release.set()
        assert first.read_response().status == 200
        assert second.read_response().status == 200


def test_requests_of_a_pool_are_limited_over_members_and_threads(portunus, upstream):
    release = threading.Event()
    members = [upstream(hold(release)) for _ in range(2)]
    door = portunus(one_pool(members, pool={"overload": {"max_requests": 3, "pending_timeout": "20s"}}, threads=2))
    clients = [door.connect(patience=20) for _ in range(9)]
    for i, client in enumerate(clients):
        client.send(get("/"))
        wait_until(lambda i=i: sum(share(members)) >= min(i + 1, 3), "it has arrived, or is one too many")
    wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 6, "six wait")
    wait_until(lambda: sum(share(members)) == 3, "three have arrived")
    release.set()
    assert [client.read_response().status for client in clients] == [200] * 9
    assert sum(share(members)) == 9
    assert door.metric("portunus_pool_queue_length", pool="web") == 0


def test_more_than_a_pool_takes_is_a_503_at_once(portunus, upstream):
    release = threading.Event()
    member = upstream(hold(release))
    door = portunus(one_pool(member, pool={"overload": {"max_requests": 1, "max_pending": 0}}, threads=1))
    with door.connect() as first:
        first.send(get("/"))
        member.wait_for_requests(1)
        response = door.get()
        assert response.status == 503
        assert b"pool_full" in response.body
        assert response.header("retry-after") == "1"
        assert door.metric("portunus_http_requests_rejected_total", reason="pool_full") == 1
        release.set()
        assert first.read_response().status == 200
    assert door.get().status == 200


def test_client_that_leaves_the_queue_is_forgotten(portunus, upstream):
    release = threading.Event()
    member = upstream(hold(release))
    door = portunus(one_pool(member, pool={"max_connections_per_upstream": 1}, threads=1))
    with door.connect() as first:
        first.send(get("/"))
        member.wait_for_requests(1)
        leaver = door.connect()
        leaver.send(get("/leaver"))
        wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 1, "one waits")
        leaver.reset()
        wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 0, "nobody waits")
        release.set()
        assert first.read_response().status == 200
    assert door.get("/last").status == 200
    assert [request.target for request in member.requests] == ["/", "/last"]


# ---- members that fail


def close_at_reuse(times):
    """Answers one request; closes without a word when the second one comes."""

    def script(connection):
        if connection.read_request() is None:
            return
        connection.reply()
        if connection.read_request() is not None:
            times.append(1)

    return script


def test_connection_closed_at_the_moment_of_reuse(portunus, upstream):
    times = []
    member = upstream(close_at_reuse(times))
    door = portunus(one_pool(member, threads=1))
    assert ask_many(door, 20) == {200: 20}
    assert times, "never happened, so nothing was tested"


def test_post_is_not_sent_twice(portunus, upstream):
    times = []
    member = upstream(close_at_reuse(times))
    door = portunus(one_pool(member, threads=1))
    with door.connect() as client:
        client.send(get("/"))
        assert client.read_response().status == 200
        client.send(post("/pay", b"money"))
        status = client.read_response().status
    assert status in (200, 502)
    assert [request.target for request in member.requests].count("/pay") == 1, "a payment was sent twice"


def test_idle_connection_that_the_member_has_closed_is_not_used(portunus, upstream):
    def script(connection):
        if connection.read_request():
            connection.reply()

    member = upstream(script)
    door = portunus(one_pool(member, threads=1))
    with door.connect() as client:
        for number in range(1, 21):
            client.send(post("/pay", b"money"))
            assert client.read_response().status == 200
            member.wait_for(lambda u, n=number: len(u.connections) == n and u.open_connections == 0, "closed")
            wait_until(lambda: door.metric("portunus_upstream_connections") == 0, "the close is noticed")


@pytest.mark.parametrize("request_bytes", [get("/"), post("/", b"body" * 1000)], ids=["GET", "POST"])
def test_one_of_three_alive_answers_everything(portunus, upstream, request_bytes):
    alive = upstream()
    dead = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    door = portunus(one_pool([dead[0], alive, dead[1]]))
    assert ask_many(door, 300, request_bytes) == {200: 300}
    assert len(alive.requests) == 300
    assert all(request.body in (b"", b"body" * 1000) for request in alive.requests)
    assert door.metric("portunus_upstream_errors_total", reason="upstream_connect") > 0


def test_one_of_forty_alive_answers_everything(portunus, upstream):
    alive = upstream()
    dead = [f"127.0.0.1:{free_port()}" for _ in range(39)]
    # Nobody has looked at them before the requests come.
    door = portunus(one_pool([*dead, alive], pool={"health": "off", "balance": "round_robin"}))
    assert ask_many(door, 100) == {200: 100}


@pytest.mark.parametrize("attempts", [1, 3, 100])
def test_of_twenty_that_hang_up_so_many_are_tried(portunus, upstream, attempts):
    members = [upstream(lambda connection: connection.read_request()) for _ in range(20)]
    door = portunus(one_pool(members, pool={"retry": {"attempts": attempts, "for": "4s", "every": "1h"}}))
    assert ask_many(door, 1) == {502: 1}
    assert sum(len(member.requests) for member in members) == min(attempts, 20)


def test_large_body_survives_a_refused_connect(portunus, upstream):
    alive = upstream(serve_requests(lambda c, r: c.reply(200, str(len(r.body)).encode())))
    door = portunus(one_pool([f"127.0.0.1:{free_port()}", alive], pool={"balance": "round_robin"}))
    for _ in range(4):
        assert door.ask(post("/", b"x" * 1_000_000)).body == b"1000000"


def test_nobody_listens(portunus):
    door = portunus(one_pool([f"127.0.0.1:{free_port()}" for _ in range(3)], pool={"retry": {"for": "1s"}}))
    response = door.get()
    assert response.status in (502, 503)
    assert "proxy-status" in response.fields


class StuckListener:
    """A full accept queue: connections are neither taken nor refused."""

    def __init__(self):
        self.listener = listening_socket(backlog=0)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.fillers = []
        while True:
            try:
                self.fillers.append(connect(self.listener.getsockname()[1], patience=0.3))
            except OSError:
                return

    def close(self):
        for filler in self.fillers:
            filler.close()
        self.listener.close()


def test_connect_timeout_moves_on(portunus, upstream, keeper, stopwatch):
    blocked = keeper.keep(StuckListener())
    alive = upstream()
    door = portunus(one_pool([blocked, alive], pool={"timeouts": {"connect": "200ms"}, "balance": "round_robin"}))
    begin = stopwatch()
    assert ask_many(door, 12) == {200: 12}
    assert stopwatch() - begin < 8 * SCALE, "five are tried there before it is ejected, for 2 s each by default"


def test_slow_first_byte_is_a_504(portunus, upstream):
    release = threading.Event()
    member = upstream(hold(release))
    door = portunus(one_pool(member, pool={"timeouts": {"first_byte": "200ms"}}))
    response = door.get()
    assert response.status == 504
    assert b"upstream_timeout" in response.body
    assert "http_response_timeout" in response.header("proxy-status")
    release.set()


def test_member_that_stops_in_its_body_is_cut_off(portunus, upstream):
    def script(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        connection.fill()

    member = upstream(script)
    door = portunus(one_pool(member, pool={"timeouts": {"between_bytes": "200ms"}}))
    with door.connect() as client:
        client.send(get("/"))
        assert client.read_response_head().status == 200
        assert client.read_until_end() == b"abc"
    member.wait_for(lambda u: u.open_connections == 0, "its connection is closed")


def test_total_time_is_a_limit(portunus, upstream):
    def script(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        stop = threading.Event()
        while not stop.wait(0.05):
            connection.send(b"1\r\nx\r\n")

    door = portunus(one_pool(upstream(script), pool={"timeouts": {"total": "2s"}}))
    with door.connect() as client:
        client.send(get("/"))
        assert client.read_response_head().status == 200
        data = client.read_until_end()
        assert 0 < data.count(b"x") < 140 * SCALE
        assert not data.endswith(b"0\r\n\r\n"), "a cut answer looks whole"


def test_threads_take_turns_at_a_full_member(portunus, upstream):
    """A thread that has all connections lets others have them, though its own requests wait too."""
    member = upstream()
    patience = 3 + SCALE
    pool = {"max_connections_per_upstream": 1, "overload": {"pending_timeout": f"{patience}s"}}
    door = portunus(one_pool(member, pool=pool, threads=2))
    until = time.monotonic() + patience + 1
    outcomes = []

    def ask():
        served = []
        with door.connect(patience=20) as client:
            while time.monotonic() < until and set(served) <= {200}:
                client.send(get("/"))
                served.append(client.read_response().status)
        outcomes.append(served)

    clients = [threading.Thread(target=ask) for _ in range(12)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert [set(served) for served in outcomes] == [{200}] * 12

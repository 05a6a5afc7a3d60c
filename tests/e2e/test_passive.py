"""What traffic says about members: ejections and circuit breakers, with members whose behaviour a test sets."""

import os
import re
import signal
import socket
import struct
import threading

import pytest

from support.door import one_pool
from support.ports import free_port
from support.upstream import Upstream, serve_requests
from support.waiting import wait_until
from support.websocket import echo, open_websocket
from support.wire import get, post
from test_access_log import entries, with_log
from test_members import kept

pytestmark = pytest.mark.smoke

NO_RETRY = {"retry": "off"}


class Moody:
    """A member that answers, hangs up or keeps silent, as a test says; and counts what it was asked."""

    def __init__(self, status=200, name="moody"):
        self.status = status  # 0: hangs up without an answer
        self.name = name
        self.asked = 0
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, connection):
        serve_requests(self.answer)(connection)

    def answer(self, connection, _request):
        with self.lock:
            self.asked += 1
        self.gate.wait(20)
        if self.status == 0:
            connection.close()
            return
        connection.reply(self.status, self.name.encode())


class Turns:
    """A Moody's gate that lets one through at a time."""

    def __init__(self):
        self.free = threading.Semaphore(0)

    def wait(self, seconds):
        self.free.acquire(timeout=seconds)

    def next(self):
        self.free.release()


def state_of(door, member):
    return door.member(member.address)["state"]


def trips(door, reason):
    return door.metric("portunus_circuit_breaker_trips_total", pool="web", reason=reason)


def breaker_is(door, member, state):
    return door.member(member.address)["traffic"].get("breaker") == state


def has_opened(door, member):
    """`open` alone may be over between two looks."""
    return breaker_is(door, member, "open") or breaker_is(door, member, "half_open")


def wait_for_log(door, text):
    """Lines are written a moment after what they tell."""
    wait_until(lambda: text in door.log(), f"the log says {text!r}")


def three(upstream, *bad):
    moods = [*bad, *(Moody(name="good") for _ in range(3 - len(bad)))]
    return moods, [upstream(mood) for mood in moods]


# ---- ejection ----


def test_a_member_that_fails_is_ejected_and_no_request_fails(portunus, upstream):
    """The defaults: its first failures, five at least, each saved by another member, and no more after that."""
    moods, members = three(upstream, Moody(503))
    door = portunus(one_pool(members))
    with door.connect() as client:
        for _ in range(80):
            client.send(get("/"))
            assert client.read_response().status == 200
    wait_until(lambda: state_of(door, members[0]) == "ejected", "it is ejected")
    asked = moods[0].asked
    assert asked >= 5
    for _ in range(30):
        assert door.get().body == b"good"
    assert moods[0].asked == asked, "not one more"
    shown = door.member(members[0].address)
    # Who judges is told of the first failures in one message, and of more when it comes late.
    failures = re.match(r"ejected for 30 s: (\d+) failures in a row, the last one an error status", shown["reason"])
    assert failures and 5 <= int(failures[1]) <= asked, shown
    assert shown["traffic"]["ejections"] == 1
    assert shown["selectable"] is False
    assert door.metric("portunus_health_transitions_total", to="ejected", reason="passive") == 1
    assert door.metric("portunus_upstream_state", upstream=members[0].address, state="ejected") == 1
    wait_for_log(door, "ejected for 30 s")


def test_one_request_tries_it_and_the_next_ejection_is_longer(portunus, upstream):
    moods, members = three(upstream, Moody(502))
    passive = {"consecutive_failures": 2, "eject_for": "300ms", "max_eject_for": "1h"}
    door = portunus(one_pool(members, pool={"passive": passive}))

    def reason():
        return door.member(members[0].address)["reason"]

    def ask_until(asked):
        wait_until(lambda: door.get().status == 200 and moods[0].asked >= asked, f"it has been asked {asked} times")
        assert moods[0].asked == asked

    # Nothing is asked while an ejection is waited for: it may be over at any time, and the next request its trial.
    ask_until(2)
    wait_until(lambda: "ejected for 300 ms" in reason(), "the first ejection")
    ask_until(3)
    wait_until(lambda: "ejected for 600 ms: its trial request failed" in reason(), "the second, after one trial")
    assert moods[0].asked == 3
    moods[0].status = 200
    wait_until(lambda: door.get().status == 200 and (reason() == "" or "probes are off" in reason()), "it is back")
    assert moods[0].asked >= 4
    assert state_of(door, members[0]) == "up"
    wait_until(lambda: door.get().body == b"moody", "and has its share again")
    wait_for_log(door, "its trial went well")


def test_half_of_the_members_at_most(portunus, upstream):
    """Two of three fail: the second one stays, its failures are met by retries."""
    moods, members = three(upstream, Moody(503), Moody(503))
    door = portunus(one_pool(members))
    for _ in range(100):
        assert door.get().status == 200
    wait_until(lambda: door.metric("portunus_pool_members", pool="web", state="ejected") == 1, "one is ejected")
    assert max(mood.asked for mood in moods[:2]) > 10, "the other one is still tried"


def test_the_only_member_is_never_ejected(portunus, upstream):
    moody = Moody(503)
    member = upstream(moody)
    door = portunus(one_pool(member, pool={**NO_RETRY, "passive": {"max_ejected": "100%"}}))
    for _ in range(30):
        assert door.get().status == 503
    assert state_of(door, member) == "up"
    assert moody.asked == 30


def test_failures_by_kind(portunus, upstream):
    """`on` says what counts: with connections alone, a member that hangs up is let be, and one that refuses is not."""
    _, members = three(upstream, Moody(0))
    refusing = f"127.0.0.1:{free_port()}"
    pool = {"passive": {"on": ["connect"], "above_others": "0%"}}
    door = portunus(one_pool([*members, refusing], pool=pool))
    for _ in range(120):
        assert door.get().status == 200
    wait_until(lambda: door.member(refusing)["state"] == "ejected", "it is ejected")
    assert "no connection" in door.member(refusing)["reason"]
    assert state_of(door, members[0]) == "up"


def test_a_member_worse_than_the_others_is_ejected(portunus, upstream):
    """Never five failures in a row: every second answer is good."""
    turn = iter(range(10**6))

    def answer(connection, _request):
        connection.reply(503 if next(turn) % 2 else 200, b"every second")

    members = [upstream(serve_requests(answer)), upstream(), upstream()]
    door = portunus(one_pool(members, pool={"balance": "round_robin"}))

    def is_ejected():
        assert door.get().status == 200
        return state_of(door, members[0]) == "ejected"

    wait_until(is_ejected, "it fails more often than the others")
    assert "requests failed, and of the others' 0 of" in door.member(members[0].address)["reason"]


def test_what_clients_do_counts_for_nothing(portunus, upstream):
    """Clients that leave before the answer: the member was as slow as they were impatient."""
    moody = Moody()
    moody.gate.clear()
    members = [upstream(moody), upstream()]
    door = portunus(one_pool(members, pool={"balance": "round_robin"}))
    for i in range(20):
        with door.connect() as client:
            client.send(get("/"))
            wait_until(lambda number=i + 1: moody.asked + len(members[1].requests) >= number, "it is asked")
    moody.gate.set()
    assert [state_of(door, member) for member in members] == ["up", "up"]
    assert door.member(members[0].address)["traffic"]["failures_in_row"] == 0


def test_a_connection_that_breaks_inside_an_answer_counts(portunus, upstream):
    def half(connection, _request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    members = [upstream(serve_requests(half)), upstream(), upstream()]
    door = portunus(one_pool(members, pool={"passive": {"above_others": "0%"}}))

    def is_ejected():
        with door.connect() as client:
            client.send(get("/"))
            client.read_some()
        return state_of(door, members[0]) == "ejected"

    wait_until(is_ejected, "answers that break off are failures")


def test_silent_tunnels_are_nobodys_fault(portunus, upstream):
    """Clients open WebSockets to one member and say nothing more."""
    member, other = upstream(echo), upstream(echo)
    pool = {"timeouts": {"tunnel": "200ms"}, "passive": {"consecutive_failures": 2}, "balance": "round_robin"}
    door = portunus(one_pool([member, other], pool=pool))
    clients = [door.connect() for _ in range(12)]
    try:
        for client in clients:
            open_websocket(client)
        for client in clients:
            client.expect_end()
    finally:
        for client in clients:
            client.close()
    for one in (member, other):
        assert state_of(door, one) == "up"
        assert door.member(one.address)["traffic"]["failures_in_row"] == 0


def test_the_time_for_the_whole_request_speaks_against_who_hangs(portunus, upstream):
    moody = Moody()
    moody.gate.clear()
    member = upstream(moody)
    door = portunus(one_pool([member, upstream()], pool={"timeouts": {"total": "400ms"}, "balance": "round_robin"}))
    wait_until(lambda: door.get() and state_of(door, member) == "ejected", "it is ejected", 20)
    assert "no answer in time" in door.member(member.address)["reason"]
    moody.gate.set()


def test_an_ejection_ends_when_the_others_are_drained(portunus, upstream):
    moods, members = three(upstream, Moody(503))
    door = portunus(one_pool(members, pool={"passive": {"eject_for": "1h"}}))
    wait_until(lambda: door.get() and state_of(door, members[0]) == "ejected", "it is ejected")
    moods[0].status = 200
    for member in members[1:]:
        assert door.admin(f"/v1/pools/web/upstreams/{member.address}/drain", "POST").status == 200
    assert state_of(door, members[0]) == "up"
    assert door.get().body == b"moody"
    wait_for_log(door, "nobody else is left")


def test_an_ejection_outlives_the_proxy(portunus, upstream):
    """The supervisor keeps what the proxy knew (`held` in its text), and the next one goes on from there."""
    bad, good = Moody(500, "bad"), Moody(200, "good")
    members = [upstream(bad), upstream(good)]
    passive = {"consecutive_failures": 3, "on": ["5xx"], "eject_for": "10m", "max_eject_for": "10m"}
    door = portunus(one_pool(members, pool={"passive": passive, "balance": "round_robin", **NO_RETRY}, threads=1))
    while state_of(door, members[0]) != "ejected":
        door.get()
    before = door.member(members[0].address)
    wait_until(lambda: '"held"' in kept(door), "the supervisor has been told")
    proxy = door.proxy_pid()
    os.kill(proxy, signal.SIGKILL)
    wait_until(lambda: door.proxy_pid() not in (None, proxy) and door.is_ready(), "another one serves")
    asked = bad.asked
    after = door.member(members[0].address)
    assert (after["state"], after["reason"], after["since"]) == ("ejected", before["reason"], before["since"])
    assert [door.get().status for _ in range(6)] == [200] * 6
    assert bad.asked == asked


def test_off_lets_members_be_and_lets_them_go(portunus, upstream):
    """A reload keeps an ejection, and one with `passive: off` ends it."""
    moods, members = three(upstream, Moody(503))
    config = one_pool(members, pool={"passive": {"consecutive_failures": 1, "eject_for": "1h"}})
    door = portunus(config)
    wait_until(lambda: door.get() and state_of(door, members[0]) == "ejected", "it is ejected")
    config["pools"]["web"]["max_connections_per_upstream"] = 100
    door.write(config)
    door.reload()
    assert state_of(door, members[0]) == "ejected"
    config["pools"]["web"]["passive"] = "off"
    door.write(config)
    door.reload()
    assert state_of(door, members[0]) == "up"
    asked = moods[0].asked
    for _ in range(60):
        assert door.get().status == 200
    assert moods[0].asked > asked + 5, "nothing is counted"
    assert state_of(door, members[0]) == "up"


def test_a_crash_is_a_matter_of_the_probes(portunus, upstream, keeper):
    """Connections of a member break at once, and it is back at once: it does not miss the next 30 s."""
    port = free_port()
    probe = {"tcp": True, "interval": "100ms", "timeout": "1s", "rise": 1, "fall": 2}
    moody = Moody()
    moody.gate.clear()
    first = Upstream(moody, port=port)
    other = upstream()
    door = portunus(one_pool([first, other], pool={"health": probe, "balance": "round_robin"}))
    door.wait_for_state(first.address, "up")
    door.wait_for_state(other.address, "up")
    clients = [door.connect() for _ in range(24)]
    try:
        for client in clients:
            client.send(get("/"))
        wait_until(lambda: moody.asked >= 10, "half of them wait for the first member")
        moody.status = 0
        closing = threading.Thread(target=first.close)  # waits for its threads, and they for the gate
        closing.start()
        for client in clients:
            assert client.read_response().status == 200
        moody.gate.set()
        closing.join()
        with Upstream(port=port) as again:
            wait_until(lambda: door.get() and len(again.requests) >= 3, "it takes requests again", 20)
    finally:
        for client in clients:
            client.close()


# ---- the circuit breaker ----


BREAKER = {"min_requests": 10, "open_for": "400ms", "half_open_requests": 2}


def test_a_breaker_opens_tries_and_closes(portunus, upstream):
    moody = Moody(500)
    member = upstream(moody)
    # Open for long enough that none of those who look whether it is open is a trial, which would fail.
    pool = {**NO_RETRY, "circuit_breaker": {**BREAKER, "open_for": "3s"}, "passive": {"on": ["5xx"]}}
    door = portunus(with_log(one_pool(member, pool=pool)))
    wait_until(lambda: door.get().status == 503, "it opens", 10)
    assert moody.asked >= 10
    assert trips(door, "failure_ratio") == 1
    wait_for_log(door, "circuit breaker open for 3 s")
    answers = []

    def is_closed():
        moody.status = 200
        answers.append(door.get().status)
        return breaker_is(door, member, "closed")

    wait_until(is_closed, "two requests have gone well")
    assert set(answers) <= {200, 503}
    assert answers.count(200) >= 2
    assert trips(door, "trial") == 0
    count = int(door.metric("portunus_http_requests_total", listener="front"))
    reasons = {entry["end_reason"] for entry in entries(door, count) if entry["status"] == 503}
    assert reasons == {"breaker_open"}


def test_an_open_breaker_is_asked_nothing(portunus, upstream):
    moody = Moody(500)
    member = upstream(moody)
    breaker = {"consecutive_failures": 4, "failure_ratio": "0%", "open_for": "1h"}
    pool = {**NO_RETRY, "circuit_breaker": breaker, "passive": {"on": ["5xx"]}}
    door = portunus(one_pool(member, pool=pool))
    for _ in range(4):
        assert door.get().status == 500
    wait_until(lambda: breaker_is(door, member, "open"), "it opens")
    for _ in range(10):
        answer = door.get()
        assert answer.status == 503
        assert b"breaker_open" in answer.body
    assert moody.asked == 4
    assert trips(door, "consecutive_failures") == 1
    assert door.metric("portunus_circuit_breaker_state", upstream=member.address, state="open") == 1
    assert door.metric("portunus_circuit_breaker_state", upstream=member.address, state="closed") == 0
    assert state_of(door, member) == "ejected"


def test_half_open_lets_in_so_many_and_no_more(portunus, upstream):
    """Trials that hang: the others do not get through, until one of them has failed."""
    moody = Moody(500)
    member = upstream(moody)
    breaker = {"consecutive_failures": 3, "open_for": "200ms", "half_open_requests": 2}
    pool = {**NO_RETRY, "circuit_breaker": breaker, "passive": {"on": ["5xx"]}}
    door = portunus(one_pool(member, pool=pool))
    for _ in range(3):
        assert door.get().status == 500
    wait_until(lambda: has_opened(door, member), "it opens")
    moody.gate.clear()
    wait_until(lambda: breaker_is(door, member, "half_open"), "its time is over")
    with door.connect() as one, door.connect() as two:
        one.send(get("/"))
        two.send(get("/"))
        wait_until(lambda: moody.asked == 5, "two trials")
        for _ in range(10):
            assert door.get().status == 503
        assert moody.asked == 5
        moody.gate.set()
        assert [one.read_response().status, two.read_response().status] == [500, 500]
    wait_until(lambda: trips(door, "trial") == 1, "and it opens again")


def test_a_trial_whose_client_leaves_is_given_back(portunus, upstream):
    moody = Moody(500)
    member = upstream(moody)
    breaker = {"consecutive_failures": 3, "open_for": "200ms", "half_open_requests": 1}
    pool = {**NO_RETRY, "circuit_breaker": breaker, "passive": {"on": ["5xx"]}}
    door = portunus(one_pool(member, pool=pool))
    for _ in range(3):
        assert door.get().status == 500
    wait_until(lambda: breaker_is(door, member, "half_open"), "its time is over")
    moody.gate.clear()
    with door.connect() as client:
        client.send(get("/"))
        wait_until(lambda: moody.asked == 4, "the trial")
    moody.status = 200
    moody.gate.set()
    wait_until(lambda: door.get().status == 200, "another one may try")
    wait_until(lambda: breaker_is(door, member, "closed"), "and closes it")


def test_requests_wait_for_a_breaker_within_their_window(portunus, upstream):
    """With `retry`, nobody but those that opened it sees an error."""
    moody = Moody(500)
    member = upstream(moody)
    breaker = {"consecutive_failures": 3, "open_for": "500ms", "half_open_requests": 1}
    pool = {"circuit_breaker": breaker, "passive": {"on": ["5xx"]}, "retry": {"every": "1h", "for": "1h"}}
    door = portunus(one_pool(member, pool=pool))
    for _ in range(3):
        assert door.get().status == 500
    wait_until(lambda: has_opened(door, member), "it opens")
    moody.status = 200
    clients = [door.connect() for _ in range(8)]
    try:
        for client in clients:
            client.send(post("/", b"once"))
        for client in clients:
            assert client.read_response().status == 200
    finally:
        for client in clients:
            client.close()
    assert moody.asked == 3 + len(clients), "each of them once"


def test_who_waits_for_a_connection_hears_that_it_opens(portunus, upstream):
    """One connection, several requests: they do not wait for a member that takes none any more."""
    moody, turns = Moody(500), Turns()
    moody.gate = turns
    member = upstream(moody)
    breaker = {"consecutive_failures": 1, "failure_ratio": "0%", "open_for": "1h"}
    pool = {**NO_RETRY, "circuit_breaker": breaker, "passive": {"on": ["5xx"]}, "max_connections_per_upstream": 1,
            "overload": {"pending_timeout": "1h"}}
    door = portunus(one_pool(member, pool=pool))
    clients = [door.connect() for _ in range(4)]
    try:
        clients[0].send(get("/"))
        wait_until(lambda: moody.asked == 1, "the member has the first")  # two threads at once might both find room
        for client in clients[1:]:
            client.send(get("/"))
        wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 3, "three of them wait")
        turns.next()
        # The control thread judges a moment after the answer: one more may have the connection by then, and keeps it.
        wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 0, "nobody waits")
        assert breaker_is(door, member, "open") and moody.asked <= 2
        turns.next()
        statuses = sorted(client.read_response().status for client in clients)
        assert statuses == [500] * moody.asked + [503] * (4 - moody.asked)
    finally:
        turns.next()
        for client in clients:
            client.close()


def test_a_place_that_is_given_back_is_taken_at_once(portunus, upstream):
    """A client leaves its trial: who waits is woken by that, not after `every`."""
    moody = Moody(500)
    member = upstream(moody)
    breaker = {"consecutive_failures": 3, "failure_ratio": "0%", "open_for": "200ms", "half_open_requests": 1}
    pool = {"circuit_breaker": breaker, "passive": {"on": ["5xx"]}, "retry": {"every": "1h", "for": "1h"}}
    door = portunus(one_pool(member, pool=pool))
    for _ in range(3):
        assert door.get().status == 500
    wait_until(lambda: breaker_is(door, member, "half_open"), "its time is over")
    moody.gate.clear()
    with door.connect() as second:
        with door.connect() as first:
            first.send(get("/"))
            wait_until(lambda: moody.asked == 4, "the trial")
            second.send(get("/"))
            wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") == 1, "another one waits")
        moody.status = 200
        moody.gate.set()
        assert second.read_response().status == 200


def test_slow_answers_open_it(portunus, upstream):
    moody = Moody()
    slow = threading.Event()

    def answer(connection, request):
        if slow.is_set() and moody.asked % 50 == 0:
            threading.Event().wait(2.3)  # the slowness itself
        moody.answer(connection, request)

    member = upstream(serve_requests(answer))
    breaker = {"latency_p99": "2s", "failure_ratio": "0%", "open_for": "1h", "window": "60s"}
    door = portunus(one_pool(member, pool={**NO_RETRY, "circuit_breaker": breaker}))
    with door.connect() as client:
        for _ in range(150):
            client.send(get("/"))
            assert client.read_response().status == 200
        assert breaker_is(door, member, "closed")
        slow.set()

        def is_open():
            client.send(get("/"))
            client.read_response()
            return breaker_is(door, member, "open")

        wait_until(is_open, "two of a hundred answers are slow", 40)
    assert trips(door, "latency") == 1
    assert "answers began later than 2 s" in door.member(member.address)["reason"]


def test_a_breaker_of_one_member_leaves_the_others(portunus, upstream):
    moods, members = three(upstream, Moody(503))
    door = portunus(one_pool(members, pool={"circuit_breaker": BREAKER, "passive": "off"}))

    def is_open():
        assert door.get().status == 200
        return breaker_is(door, members[0], "open")

    wait_until(is_open, "it opens")
    assert [breaker_is(door, member, "closed") for member in members[1:]] == [True, True]
    assert moods[0].asked >= 10

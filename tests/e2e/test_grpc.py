"""Calls of gRPC through the door, by Debian's python3-grpcio on both ends: what passes, and how it fails."""

import json
import os
import queue
import threading
import time

import pytest

from support.certificates import Authority
from support.door import one_pool
from support.grpc_calls import Client, Worker, grpc, metadata_of
from support.ports import free_port
from support.upstream import serve_requests
from support.waiting import SCALE, wait_until

smoke = pytest.mark.smoke
Code = grpc.StatusCode
TEN_MIB = 10 * 1024 * 1024


@pytest.fixture
def worker(keeper):
    return lambda **options: keeper.keep(Worker(keeper.folder, **options))


@pytest.fixture
def client(keeper):
    """Clients of a door; all of them are closed before it is."""
    made = []

    def make(door, *arguments, **options):
        made.append(Client(door.port, *arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.channel.close()


def calls(workers, pool=None, **root):
    """A configuration with a pool of workers."""
    return one_pool(workers, {"protocol": "h2c", **(pool or {})}, front={"protocols": ["h1", "h2"]}, **root)


@pytest.fixture(params=["plain", "tls"])
def ends(request, portunus, worker, client, tmp_path):
    """A client and a worker with a door between them: in the clear, or with TLS on both sides."""
    if request.param == "plain":
        made = worker()
        return client(portunus(calls(made))), made
    authority = Authority(tmp_path)
    made = worker(files=authority.make("127.0.0.1"), root=authority.root)
    config = one_pool(
        made, {"protocol": "h2", "tls": {"ca_file": str(authority.root)}}, front={"tls": True},
        tls={"certificates": [authority.make("localhost")]},
    )
    return client(portunus(config), authority.root), made


class Talk:
    """One call of Chat: a word at a time."""

    def __init__(self, client):
        self.words = queue.Queue()
        self.call = client.chat(iter(self.words.get, None))

    def say(self, word):
        self.words.put(word)
        return next(self.call)

    def end(self):
        self.words.put(b"the end")
        self.words.put(None)
        assert list(self.call) == []
        assert self.call.code() == Code.OK


# ---- what passes


@smoke
def test_the_four_kinds_of_calls(ends):
    client, _ = ends
    assert client.call("Echo", b"hello") == b"hello"
    assert client.call("Echo", b"") == b""
    parts = [bytes([number]) * number * 100 for number in range(50)]
    count, size, _ = client.gather(parts).split()
    assert (int(count), int(size)) == (50, sum(map(len, parts)))
    answers = list(client.spread(1000, 100))
    assert [int.from_bytes(each[:4], "big") for each in answers] == list(range(1000))
    talk = Talk(client)
    for number in range(20):  # each waits for the one before
        assert talk.say(b"word %d" % number) == b"word %d" % number
    talk.end()


def test_large_messages(ends):
    client, _ = ends
    message = os.urandom(TEN_MIB)
    assert client.call("Echo", message) == message
    count, size, _ = client.gather([message, message]).split()
    assert (int(count), int(size)) == (2, 2 * TEN_MIB)
    assert [len(each) for each in client.spread(2, TEN_MIB)] == [TEN_MIB] * 2
    talk = Talk(client)
    for _ in range(2):
        assert talk.say(message) == message
    talk.end()


def test_many_calls_at_once(ends):
    client, _ = ends
    calls = [client.unary("Echo").future(b"call %d" % number, timeout=20) for number in range(300)]
    assert [call.result() for call in calls] == [b"call %d" % number for number in range(300)]


@smoke
def test_metadata_both_ways(portunus, worker, client):
    door = portunus(calls(worker()))
    sent = [("x-word", "a b%c"), ("x-word", "twice"), ("x-raw-bin", bytes(range(256)))]
    message, call = client(door).unary("Seen").with_call(b"", metadata=sent, timeout=60)
    seen = json.loads(message)
    fields = [tuple(each) for each in seen["fields"]]
    assert ("x-word", "a b%c") in fields and ("x-word", "twice") in fields
    assert ("x-raw-bin", bytes(range(256)).hex()) in fields
    assert dict(fields)["x-forwarded-for"] == "127.0.0.1" and dict(fields)["via"] == "2.0 portunus"
    assert 30 < seen["left"] < 60.5  # the deadline has gone on
    first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert (first["x-first"], first["x-raw-bin"]) == ("1", b"\0\1\xff")
    assert (last["x-last"], last["x-raw-bin"]) == ("2", b"\xff\1\0")


@smoke
@pytest.mark.parametrize("code", [1, 3, 5, 9, 14, 16])
def test_statuses_of_members_pass(portunus, worker, client, code):
    door = portunus(calls(worker()))
    error = client(door).failure("Fail", f"{code} 5 % of it: \u00e4\u00f6\n".encode())
    assert error.code().value[0] == code
    assert error.details() == "5 % of it: \u00e4\u00f6\n"
    assert metadata_of(error)["x-why"] == str(code)
    assert metadata_of(error)["x-why-bin"] == "5 % of it: \u00e4\u00f6\n".encode()
    assert metadata_of(error).get("proxy-status") is None
    error = client(door).failure("Unknown")
    assert error.code() == Code.UNIMPLEMENTED


def test_health_service_of_a_member(portunus, worker, client):
    door = portunus(calls(worker()))
    assert client(door).call("/grpc.health.v1.Health/Check") == b"\x08\x01"


# ---- cancellation and deadlines


@smoke
def test_cancellation_reaches_the_member(ends):
    client, worker = ends
    sleep = client.unary("Sleep").future(b"")
    hold = client.hold()
    assert next(hold) == b"first"
    talk = Talk(client)
    talk.say(b"word")
    worker.wait_for("started", 3)
    for count, call in enumerate((sleep, hold, talk.call), 1):
        call.cancel()
        worker.wait_for("cancelled", count)
    assert client.call("Echo", b"on the same connection") == b"on the same connection"


def test_a_client_that_goes_cancels_its_calls(portunus, worker, client):
    member = worker()
    door = portunus(calls(member))
    gone = client(door)
    call = gone.hold()
    assert next(call) == b"first"
    gone.channel.close()
    member.wait_for("cancelled", 1)


@smoke
def test_a_deadline_reaches_the_member(ends):
    client, worker = ends
    assert client.call("Echo", b"connected") == b"connected"
    sleep, hold = client.unary("Sleep").future(b"", timeout=3 * SCALE), client.hold(timeout=3 * SCALE)
    assert next(hold) == b"first"
    worker.wait_for("started", 2)
    with pytest.raises(grpc.RpcError) as caught:
        next(hold)
    assert caught.value.code() == sleep.exception().code() == Code.DEADLINE_EXCEEDED
    worker.wait_for("cancelled", 2)


def test_the_pools_own_limit_is_a_deadline(portunus, worker, client):
    member = worker()
    door = portunus(calls(member, {"timeouts": {"total": f"{3 * SCALE}s"}}))
    made = client(door)
    sleep, hold = made.unary("Sleep").future(b""), made.hold()
    assert next(hold) == b"first"
    error = sleep.exception()
    assert error.code() == Code.DEADLINE_EXCEEDED
    assert error.details() == "upstream_timeout: the request took too long"
    with pytest.raises(grpc.RpcError) as caught:
        next(hold)
    assert (caught.value.code(), caught.value.details()) == (Code.DEADLINE_EXCEEDED, error.details())
    member.wait_for("cancelled", 2)


# ---- members that fail


@smoke
@pytest.mark.parametrize("is_tls", [False, True])
def test_no_member_alive(portunus, client, tmp_path, is_tls):
    authority = Authority(tmp_path)
    pool = {"retry": {"for": "2s", "every": "200ms"}}
    front = {"tls": True} if is_tls else {"protocols": ["h1", "h2"]}
    log = tmp_path / "access.log"
    door = portunus(one_pool(
        f"127.0.0.1:{free_port()}", pool, front=front, tls={"certificates": [authority.make("localhost")]},
        access_log={"output": str(log), "format": "json"},
    ))
    made = client(door, authority.root) if is_tls else client(door)
    begin = time.monotonic()
    error = made.failure("Echo", b"hello")
    assert 1.5 < time.monotonic() - begin < 10
    assert error.code() == Code.UNAVAILABLE
    assert error.details().startswith("upstream_connect: ")
    fields = metadata_of(error)
    assert fields["proxy-status"] == 'portunus; error=connection_refused; details="upstream_connect"'
    line = wait_until(lambda: log.exists() and log.read_text(), "the call is logged")
    seen = json.loads(line)
    assert (seen["status"], seen["end_reason"]) == (200, "upstream_connect")
    assert seen["request_id"] == fields["x-request-id"]
    assert seen["attempts"] > 1


@smoke
def test_errors_of_ours(portunus, upstream, client):
    def too_late(connection, _request):
        connection.read_request()  # the connection's end

    member = upstream(serve_requests(too_late))
    config = one_pool(member, front={"protocols": ["h1", "h2"]}, limits={"body_bytes": "1KiB"})
    config["sites"] = {"127.0.0.1": {"pool": "web"}}
    door = portunus(config)
    error = client(door).failure("Echo", b"x" * 2000)
    assert (error.code(), error.details()) == (Code.RESOURCE_EXHAUSTED, "rejected_body_size: body too large")
    error = client(door, options=[("grpc.default_authority", "other.example")]).failure("Echo", b"x")
    assert (error.code(), error.details()) == (Code.UNIMPLEMENTED, "rejected_no_route: no route matches")
    hasty = portunus(one_pool(member, {"timeouts": {"first_byte": "200ms"}}, front={"protocols": ["h1", "h2"]}))
    error = client(hasty).failure("Echo", b"x")
    assert (error.code(), error.details()) == (Code.DEADLINE_EXCEEDED, "upstream_timeout: no answer in time")


def test_a_member_that_dies_in_an_answer(portunus, worker, client):
    member = worker()
    door = portunus(calls(member))
    made = client(door)
    hold = made.hold()
    assert next(hold) == b"first"
    sleep = made.unary("Sleep").future(b"")
    member.wait_for("started", 2)
    member.kill()
    with pytest.raises(grpc.RpcError) as caught:
        next(hold)
    for error in (caught.value, sleep.exception()):
        assert error.code() == Code.UNAVAILABLE
        assert error.details().startswith("upstream_reset: ")


def test_a_member_that_comes_back(portunus, worker, client):
    member = worker()
    door = portunus(calls(member, {"retry": {"every": "100ms"}}))
    made = client(door)
    assert made.call("Echo", b"one") == b"one"
    member.kill()
    waiting = made.unary("Echo").future(b"two", timeout=20)
    member.start()
    assert waiting.result() == b"two"


class Calls:
    """Unary calls in the background, `width` at a time, until they are told to stop or `most` have been made."""

    def __init__(self, client, most, metadata=None, width=8):
        self.client, self.metadata = client, metadata
        self.left = most
        self.lock = threading.Lock()
        self.names, self.errors = [], []
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(width)]
        for thread in self.threads:
            thread.start()

    def _take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def _run(self):
        while self._take():
            try:
                self.names.append(self.client.call("Name", b"who", timeout=20, metadata=self.metadata))
            except grpc.RpcError as error:
                self.errors.append(error)

    def done(self):
        return len(self.names) + len(self.errors)

    def finish(self):
        for thread in self.threads:
            thread.join(30)
        return self


@pytest.mark.parametrize("is_idempotent", [True, False])
def test_one_of_three_dies_under_calls(portunus, worker, client, is_idempotent):
    """Whoever says that a call may be sent twice sees nothing. Of other calls those fail that the member had."""
    members = [worker() for _ in range(3)]
    door = portunus(calls(members))
    made = Calls(client(door), 300, [("idempotency-key", "any")] if is_idempotent else None)
    wait_until(lambda: made.done() >= 100, "a third is done")
    members[0].kill()
    made.finish()
    assert made.done() == 300
    assert len(set(made.names)) == 3
    if is_idempotent:
        assert made.errors == []
        return
    assert len(made.errors) <= 8  # that were on their way at the time
    for error in made.errors:
        assert error.code() == Code.UNAVAILABLE and error.details().startswith("upstream_reset: ")


# ---- probes

QUICK = {"interval": "100ms", "timeout": "2s", "rise": 1, "fall": 1}


@smoke
@pytest.mark.parametrize("service", ["", "test.Worker"])
def test_probes_by_the_health_service(portunus, worker, service):
    member = worker()
    door = portunus(calls(member, {"health": {"grpc": service or True, **QUICK}}))
    door.wait_for_state(member.address, "up")
    with Client(member.port) as direct:
        direct.call("Turn", f"{service} sick".encode())
        assert "NOT_SERVING" in json.dumps(door.wait_for_state(member.address, "down"))
        direct.call("Turn", f"{service} serving".encode())
        door.wait_for_state(member.address, "up")
        direct.call("Turn", f"{service} gone".encode())
        assert "grpc-status 5" in json.dumps(door.wait_for_state(member.address, "down"))


def test_probes_over_tls(portunus, worker, tmp_path):
    authority = Authority(tmp_path)
    member = worker(files=authority.make("127.0.0.1"), root=authority.root)
    pool = {"protocol": "h2", "tls": {"ca_file": str(authority.root)}, "health": {"grpc": True, **QUICK}}
    door = portunus(one_pool(member, pool))
    door.wait_for_state(member.address, "up")
    member.kill()
    door.wait_for_state(member.address, "down")
    member.start()
    door.wait_for_state(member.address, "up")


def test_probes_of_a_service_that_nobody_knows(portunus, worker, keeper):
    member, other = worker(), keeper.nginx()
    door = portunus(calls([member, other], {"health": {"grpc": "other.Service", **QUICK}}))
    assert "grpc-status 5" in json.dumps(door.wait_for_state(member.address, "down"))
    door.wait_for_state(other.address, "down")  # which speaks HTTP/1.1


def test_members_whose_connections_age(portunus, worker, client):
    """They say GOAWAY all the time, and no call fails."""
    members = [worker(age=150) for _ in range(2)]
    door = portunus(calls(members))
    made = Calls(client(door), 100_000)
    for member in members:
        member.wait_for("connections", 10)
    made.left = 0
    made.finish()
    assert made.errors == []


@smoke
def test_an_answer_before_the_end_of_the_request(ends):
    """A member that knows no such method has answered when the client still sends."""
    client, _ = ends
    for _ in range(5):
        parts = (bytes(100_000) for _ in range(200))
        with pytest.raises(grpc.RpcError) as caught:
            client.channel.stream_unary("/test.Worker/Missing")(parts, timeout=20)
        assert caught.value.code() == Code.UNIMPLEMENTED, caught.value
    assert client.call("Echo", b"on the same connection") == b"on the same connection"


# ---- changes


def test_calls_outlive_a_reload(portunus, worker, client):
    first, second = worker(), worker()
    door = portunus(calls(first))
    made = client(door)
    talk, hold = Talk(made), made.hold()
    assert talk.say(b"before") == b"before" and next(hold) == b"first"
    door.write(calls(second))
    assert door.reload().returncode == 0
    wait_until(lambda: made.call("Name") == str(second.port).encode(), "new calls go to the new member")
    assert talk.say(b"after") == b"after"
    talk.end()
    hold.cancel()
    first.wait_for("cancelled", 1)


def test_silent_streams_last_as_long_as_they_may(portunus, worker, client):
    quick = {"first_byte": f"{3 * SCALE}s", "between_bytes": f"{3 * SCALE}s"}
    slow = {"first_byte": "1h", "between_bytes": "1h"}
    door = portunus(calls(worker(), {"timeouts": slow}, timeouts={"body": "1h"}))
    other = portunus(calls(worker(), {"timeouts": quick}, timeouts={"body": "1h"}))
    lasting, talk = client(door).hold(), Talk(client(door))
    assert next(lasting) == b"first" and talk.say(b"one") == b"one"
    cut = client(other).hold()
    assert next(cut) == b"first"
    with pytest.raises(grpc.RpcError) as caught:
        next(cut)
    assert caught.value.code() == Code.DEADLINE_EXCEEDED
    assert talk.say(b"two") == b"two"
    talk.end()
    assert lasting.is_active()
    lasting.cancel()

"""One line for each request: fields, reasons, formats, rotation, a full disk."""

import json
import os
import re
import signal
import threading

import pytest

from support.door import one_pool
from support.ports import free_port
from support.upstream import always, serve_requests
from support.waiting import wait_until
from support.wire import get, head, post

REQUIRED = {"v", "time", "request_id", "listener", "client_ip", "client_port", "peer_ip", "protocol", "method", "scheme",
            "host", "path", "route", "status", "bytes_in", "bytes_out", "duration_s", "first_byte_s", "pool", "upstream",
            "upstream_status", "upstream_first_byte_s", "upstream_total_s", "attempts", "end_reason", "config_generation"}
ALLOWED = REQUIRED | {"trace_id", "span_id", "tls_version", "tls_cipher", "tls_sni", "query", "queue_s",
                      "upstream_connect_s", "retry_reason", "reported_reason", "user", "user_agent", "referer"}
INTEGERS = {"v", "client_port", "status", "bytes_in", "bytes_out", "upstream_status", "attempts", "config_generation"}


def with_log(config, **more):
    return {**config, "access_log": {"output": "access.log", **more}}


def lines_of(door, name="access.log"):
    """Those that are complete: the writer may be in the middle of one."""
    file = door.folder / name
    return file.read_text().rpartition("\n")[0].splitlines() if file.exists() else []


def entries(door, count, name="access.log"):
    """Waits for that many lines, and reads them."""
    wait_until(lambda: len(lines_of(door, name)) >= count, f"{count} lines")
    lines = lines_of(door, name)
    assert len(lines) == count, lines
    return [json.loads(line) for line in lines]


@pytest.mark.smoke
def test_fields_of_a_line(portunus, upstream):
    member = upstream()
    door = portunus(with_log(one_pool(member)))
    fields = ["User-Agent: tester/1", "Referer: http://r.test/", "Connection: close"]
    response = door.ask(post("/a/b?x=1&y=2", b"12345", *fields))
    entry, = entries(door, 1)
    assert REQUIRED <= set(entry), f"missing: {REQUIRED - set(entry)}"
    assert set(entry) <= ALLOWED, f"unknown: {set(entry) - ALLOWED}"
    assert all(isinstance(entry[name], int) for name in INTEGERS)
    assert all(isinstance(entry[name], (int, float)) for name in entry if name.endswith("_s"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entry["time"])
    expected = {
        "v": 1, "listener": "front", "client_ip": "127.0.0.1", "peer_ip": "127.0.0.1", "protocol": "HTTP/1.1",
        "method": "POST", "scheme": "http", "host": "test.local", "path": "/a/b", "query": "x=1&y=2", "status": 200,
        "bytes_in": 5, "bytes_out": 2, "pool": "web", "upstream": member.address, "upstream_status": 200, "attempts": 1,
        "end_reason": "ok", "user_agent": "tester/1", "referer": "http://r.test/", "config_generation": 1,
    }
    assert {name: entry[name] for name in expected} == expected
    assert entry["request_id"] == member.requests[0].header("x-request-id")
    assert 0 <= entry["first_byte_s"] <= entry["duration_s"] < 10
    assert response.status == 200


def test_own_answers_have_no_upstream(portunus):
    door = portunus(with_log({"sites": {"*": {"respond": {"status": 200, "body": "x"}}}}))
    door.get()
    entry, = entries(door, 1)
    assert not {"pool", "upstream", "upstream_status", "query", "user_agent"} & set(entry)
    assert entry["end_reason"] == "ok"


def test_reason_of_a_route_not_found(portunus):
    door = portunus(with_log({"sites": {"known.test": {"respond": {"status": 200}}}}))
    door.get()
    entry, = entries(door, 1)
    assert (entry["status"], entry["end_reason"]) == (404, "rejected_no_route")


@pytest.mark.parametrize(("script", "status", "reason"), [
    (always(b"garbage\r\n\r\n"), 502, "upstream_protocol"),
    (lambda connection: connection.read_request() and connection.reset(), 502, "upstream_reset"),
    (lambda connection: connection.read_request() and connection.fill(), 504, "upstream_timeout"),
], ids=["protocol", "reset", "timeout"])
def test_reasons_of_upstreams(portunus, upstream, script, status, reason):
    times = {"first_byte": "150ms"} if status == 504 else {}
    door = portunus(with_log(one_pool(upstream(script), pool={"timeouts": times})))
    door.ask(post("/", b"once", "Connection: close"))
    entry, = entries(door, 1)
    assert (entry["status"], entry["end_reason"]) == (status, reason)


def test_reason_of_nobody_there(portunus):
    door = portunus(with_log(one_pool(f"127.0.0.1:{free_port()}", pool={"retry": "off"})))
    status = door.get().status
    entry, = entries(door, 1)
    assert (entry["status"], entry["end_reason"]) in ((502, "upstream_connect"), (503, "no_healthy_upstream"))
    assert entry["status"] == status


def test_reason_of_a_client_that_left(portunus, upstream):
    member = upstream(lambda connection: connection.read_request() and connection.fill())
    door = portunus(with_log(one_pool(member)))
    client = door.connect()
    client.send(get("/"))
    member.wait_for_requests(1)
    client.reset()
    entry, = entries(door, 1)
    assert entry["end_reason"] == "client_closed"


@pytest.mark.parametrize(("data", "status", "reason"), [
    (head("POST / HTTP/1.1", "Content-Length: 5", "Content-Length: 5"), 400, "rejected_framing"),
    (head("POST / HTTP/1.1", "Transfer-Encoding: gzip"), 501, "rejected_transfer_coding"),
    (head("GET / HTTP/1.1", host=None), 400, "rejected_host"),
    (head("GET / HTTP/2.0"), 505, "rejected_version"),
    (head("GET /a#b HTTP/1.1"), 400, "rejected_target"),
    (head("GET / HTTP/1.1", "X Y: 1"), 400, "rejected_header"),
    (b"\0\1\2\r\n\r\n", 400, "rejected_request_line"),
    (get("/" + "u" * 9000), 414, "rejected_uri_length"),
    (get("/", "X-Big: " + "h" * 40000), 431, "rejected_header_size"),
    (head("POST / HTTP/1.1", "Expect: magic", "Content-Length: 1") + b"x", 417, "rejected_expect"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_reasons_of_refusals(portunus, data, status, reason):
    door = portunus(with_log({"sites": {"*": {"respond": {"status": 200}}}}))
    with door.connect() as client:
        client.send(data)
        assert client.read_response().status == status
    entry, = entries(door, 1)
    assert (entry["status"], entry["end_reason"]) == (status, reason)


def test_reason_of_a_slow_head(portunus):
    """Of the second request: its time runs from its first byte and not from the accept."""
    config = with_log({"sites": {"*": {"respond": {"status": 200}}}})
    door = portunus(config)
    with door.connect() as client:
        client.send(get("/"))
        assert client.read_response().status == 200
        door.write({**config, "timeouts": {"headers": "150ms"}})
        assert door.reload().returncode == 0
        client.send(b"GET / HTTP/1.1\r\n")
        client.read_until_end()
    assert [entry["end_reason"] for entry in entries(door, 2)] == ["ok", "client_timeout"]


def test_hostile_text_cannot_break_a_line(portunus):
    door = portunus(with_log({"sites": {"*": {"respond": {"status": 200}}}, "threads": 1}))
    agents = ['"}\x80\xff', "a\\u0000\\", "'<script>'", "x" * 5000]
    for agent in agents:
        door.get("/%0a%22?q=%0d%0a", f"User-Agent: {agent}")
    found = entries(door, len(agents))
    assert all(entry["path"] == "/%0A%22" for entry in found)
    assert found[1]["user_agent"] == agents[1]


def test_credentials_are_never_logged(portunus, upstream):
    door = portunus(with_log(one_pool(upstream())))
    door.get("/", "Authorization: Basic c2VjcmV0", "Cookie: session=c2VjcmV0")
    entries(door, 1)
    assert "c2VjcmV0" not in "".join(lines_of(door)) + door.log()


def test_client_behind_a_trusted_proxy(portunus, upstream):
    door = portunus(with_log(one_pool(upstream())) | {"trusted_proxies": ["127.0.0.0/8"]})
    door.get("/", "X-Forwarded-For: 10.9.8.7, 127.0.0.2")
    entry, = entries(door, 1)
    assert (entry["client_ip"], entry["peer_ip"]) == ("10.9.8.7", "127.0.0.1")
    assert "client_port" not in entry


def test_combined_format(portunus):
    door = portunus(with_log({"sites": {"*": {"respond": {"status": 200, "body": "four"}}}}, format="combined"))
    door.get("/a?b=c", "User-Agent: te\"st", "Referer: http://r.test/")
    wait_until(lambda: lines_of(door), "a line")
    line, = lines_of(door)
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /a\?b=c HTTP/1\.1" 200 4 '
        r'"http://r\.test/" "te\\x22st"', line), line


def test_log_to_standard_output(portunus):
    door = portunus({"sites": {"*": {"respond": {"status": 200}}}, "access_log": {"output": "stdout"}})
    door.get()
    wait_until(lambda: '"status":200' in door.output(), "a line on standard output")


def test_nothing_is_logged_without_the_key(portunus):
    door = portunus({"sites": {"*": {"respond": {"status": 200}}}})
    door.get("/secret-path")
    door.stop()
    assert "secret-path" not in door.output() + door.log()


def has_open(door, name):
    place = f"/proc/{door.pid}/fd"
    found = set()
    for number in os.listdir(place):
        try:
            found.add(os.readlink(f"{place}/{number}"))
        except OSError:
            pass  # closed meanwhile
    return str(door.folder / name) in found


@pytest.mark.smoke
def test_rotation(portunus):
    door = portunus(with_log({"sites": {"*": {"respond": {"status": 200}}}}))
    door.get("/before")
    entries(door, 1)
    (door.folder / "access.log").rename(door.folder / "access.log.1")
    door.signal(signal.SIGUSR1)
    wait_until(lambda: (door.folder / "access.log").exists(), "a fresh file")
    wait_until(lambda: not has_open(door, "access.log.1"), "the former one is let go")
    door.get("/after")
    assert entries(door, 1)[0]["path"] == "/after"
    assert len(lines_of(door, "access.log.1")) == 1


@pytest.mark.smoke
def test_every_request_has_its_line(portunus, upstream):
    door = portunus(with_log(one_pool(upstream())))

    def ask():
        with door.connect() as client:
            for _ in range(250):
                client.send(get("/"))
                assert client.read_response().status == 200

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = entries(door, 1000)
    assert len({entry["request_id"] for entry in found}) == 1000


@pytest.mark.smoke
def test_lines_are_not_lost_at_the_end(portunus):
    door = portunus(with_log({"sites": {"*": {"respond": {"status": 200}}}}))
    for _ in range(10):
        door.get()
    door.signal(signal.SIGTERM)
    assert door.wait() == 0
    assert len(lines_of(door)) == 10


@pytest.mark.smoke
def test_full_disk_does_not_stop_traffic(portunus):
    door = portunus({"sites": {"*": {"respond": {"status": 200}}}, "access_log": {"output": "/dev/full"}})
    with door.connect() as client:
        for _ in range(2000):
            client.send(get("/"))
            assert client.read_response().status == 200
    wait_until(lambda: "No space left" in door.log(), "the log says so")
    wait_until(lambda: door.metrics().sum("portunus_access_log_dropped_total") > 0, "lost lines are counted")


@pytest.mark.smoke
def test_reader_that_stands_still_does_not_stop_traffic(portunus, tmp_path):
    """A pipe that nobody empties."""
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        door = portunus({"sites": {"*": {"respond": {"status": 200}}}, "access_log": {"output": str(fifo)}})
        with door.connect() as client:
            for _ in range(3000):
                client.send(get("/" + "p" * 300))
                assert client.read_response().status == 200
        assert door.is_running
    finally:
        os.close(reader)


def test_file_that_cannot_be_opened_is_an_error(portunus):
    door = portunus({"sites": {"*": {"respond": {"status": 200}}}, "access_log": {"output": "/nowhere/access.log"}},
                    wait_ready=False, may_end_badly=True)
    assert door.wait() == 1
    assert "/nowhere/access.log" in door.log()


def test_requests_of_slow_members_tell_their_times(portunus, upstream):
    release = threading.Event()

    def script(connection, _request):
        release.wait(0.2)
        connection.reply()

    door = portunus(with_log(one_pool(upstream(serve_requests(script)))))
    door.get()
    entry, = entries(door, 1)
    assert entry["upstream_first_byte_s"] >= 0.19
    assert entry["duration_s"] >= entry["upstream_first_byte_s"]
    assert entry["upstream_connect_s"] >= 0

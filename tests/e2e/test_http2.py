"""HTTP/2 of clients in the clear (prior knowledge), by real clients: curl, nghttp, h2load, and frames by hand."""

import re
import shutil
import subprocess
import threading

import pytest

from support.door import one_pool as one_pool_h1
from support.http2 import DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RESET, Http2, frame, hpack, request
from support.upstream import serve_requests
from support.waiting import SCALE, wait_until
from support.websocket import CLOSE, echo as echo_websocket, frame as websocket_frame
from support.wire import get

CURL = shutil.which("curl")
NGHTTP = shutil.which("nghttp")
H2LOAD = shutil.which("h2load")


def one_pool(*arguments, **root):
    return one_pool_h1(*arguments, front={"protocols": ["h1", "h2"]}, **root)


needs_curl = pytest.mark.skipif(not CURL, reason="curl is not installed")
needs_nghttp = pytest.mark.skipif(not NGHTTP, reason="nghttp is not installed")
needs_h2load = pytest.mark.skipif(not H2LOAD, reason="h2load is not installed")


def echo(connection, asked):
    connection.reply(200, f"{asked.method} {asked.target} ".encode() + asked.body)


def curl(door, path, *options, text=None):
    """Body, and what --write-out says: status and version."""
    result = subprocess.run(
        [CURL, "--silent", "--show-error", "--http2-prior-knowledge", "--max-time", str(20 * SCALE), "--write-out",
         "\n%{http_code} %{http_version}", *options, f"http://127.0.0.1:{door.port}{path}"],
        input=text, capture_output=True, timeout=30 * SCALE, check=False,
    )
    assert result.returncode == 0, result.stderr
    body, _, status = result.stdout.rpartition(b"\n")
    return body, status.decode()


@needs_curl
@pytest.mark.smoke
def test_curl_gets_and_posts(portunus, upstream):
    member = upstream(serve_requests(echo))
    door = portunus(one_pool(member))
    assert curl(door, "/a?b=c") == (b"GET /a?b=c ", "200 2")
    assert curl(door, "/p", "--data", "hello") == (b"POST /p hello", "200 2")
    big = b"x" * 3_000_000
    body, status = curl(door, "/big", "--data-binary", "@-", text=big)
    assert status == "200 2" and body == b"POST /big " + big
    # Of unknown length on both sides.
    body, status = curl(door, "/stream", "--upload-file", "-", text=big)
    assert status == "200 2" and body == b"PUT /stream " + big
    via = [seen.header("via") for seen in member.requests]
    assert via == ["2.0 portunus"] * 4
    assert all(seen.header("host") == f"127.0.0.1:{door.port}" for seen in member.requests)


@needs_curl
def test_curl_head_errors_and_early_answers(portunus, upstream):
    def script(connection):
        asked = connection.read_head()
        if asked is not None:
            connection.send(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
            connection.close()

    door = portunus(one_pool(upstream([script, serve_requests(echo)])))
    # The member answers before it has read the body.
    body, status = curl(door, "/p", "--data-binary", "@-", text=b"x" * 3_000_000)
    assert (body, status) == (b"no", "403 2")
    body, status = curl(door, "/h", "--head")
    assert status == "200 2" and body.startswith(b"HTTP/2 200")
    assert curl(door, "/../x", "--path-as-is")[1] == "400 2"


@needs_curl
def test_both_versions_share_a_port_and_a_member(portunus, upstream):
    door = portunus(one_pool(upstream(serve_requests(echo)), threads=1))
    for _ in range(3):
        assert curl(door, "/two") == (b"GET /two ", "200 2")
        assert door.get("/one").body == b"GET /one "
    wait_until(lambda: door.metric("portunus_http_requests_total", protocol="HTTP/2.0") == 3, "three are counted")


@needs_nghttp
def test_nghttp_sees_a_clean_connection(portunus, upstream):
    door = portunus(one_pool(upstream(serve_requests(echo))))
    urls = [f"http://127.0.0.1:{door.port}/{number}" for number in range(10)]
    result = subprocess.run([NGHTTP, "-v", "-m", "5", *urls], capture_output=True, text=True, timeout=30 * SCALE, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(":status: 200") == 50
    assert "RST_STREAM" not in result.stdout
    assert not re.search(r"recv GOAWAY", result.stdout)


@needs_h2load
@pytest.mark.parametrize("streams", [1, 100])
def test_h2load(portunus, upstream, streams):
    door = portunus(one_pool(upstream(serve_requests(echo), record=False)))
    result = subprocess.run(
        [H2LOAD, "-n", "2000", "-c", "4", "-m", str(streams), f"http://127.0.0.1:{door.port}/x"],
        capture_output=True, text=True, timeout=50 * SCALE, check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in result.stdout, result.stdout
    wait_until(lambda: door.metric("portunus_http2_streams_total") == 2000, "all are counted")
    assert door.metric("portunus_http2_connections_total") == 4


@pytest.mark.smoke
def test_websocket_over_a_stream(portunus, upstream):
    member = upstream(echo_websocket)
    door = portunus(one_pool(member))
    with door.connect() as client:
        session = Http2(client)
        fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat"),
                  (":authority", "test.local"), ("sec-websocket-version", "13"), ("origin", "http://test.local")]
        session.send(frame(HEADERS, END_HEADERS, 1, hpack(fields)))
        _, flags, stream, payload = session.next(HEADERS, RESET)
        assert stream == 1 and not flags & END_STREAM
        assert payload[0] == 0x88  # :status 200
        session.send(frame(DATA, 0, 1, websocket_frame(b"hello", masked=True)))
        _, _, _, payload = session.next(DATA, RESET)
        assert payload == websocket_frame(b"hello")
        session.send(frame(DATA, 0, 1, websocket_frame(b"", CLOSE, masked=True)))
        received = b""
        while not flags & END_STREAM:
            _, flags, _, payload = session.next(DATA, RESET)
            received += payload
        assert received == websocket_frame(b"", CLOSE)
    asked = member.requests[0]
    assert (asked.method, asked.target, asked.header("upgrade")) == ("GET", "/chat", "websocket")
    assert "upgrade" in asked.header("connection").lower()
    assert len(asked.header("sec-websocket-key")) == 24


def test_streams_end_in_a_drain(portunus, upstream):
    release = threading.Event()

    def slow(connection, asked):
        release.wait(20)
        echo(connection, asked)

    member = upstream(serve_requests(slow))
    door = portunus(one_pool(member, shutdown={"drain": "20s"}))
    with door.connect() as client:
        session = Http2(client)
        session.send(request(1, path="/slow"))
        member.wait_for_requests(1)
        door.signal(15)
        _, _, _, payload = session.next(GOAWAY)
        assert payload[:8] == b"\x7f\xff\xff\xff\0\0\0\0"  # a notice, without an error
        release.set()
        _, _, stream, payload = session.next(DATA)
        assert (stream, payload) == (1, b"GET /slow ")
    assert door.wait() == 0


def test_rapid_reset_is_stopped(portunus, upstream):
    member = upstream(serve_requests(echo))
    door = portunus(one_pool(member))
    with door.connect() as client:
        session = Http2(client)
        cancel = (8).to_bytes(4, "big")
        session.send(*(request(number) + frame(RESET, 0, number, cancel) for number in range(1, 4001, 2)))
        _, _, _, payload = session.next(GOAWAY)
        assert int.from_bytes(payload[4:8], "big") == 11  # ENHANCE_YOUR_CALM
    wait_until(lambda: door.metric("portunus_http2_floods_stopped_total", kind="client_resets") == 1, "it is counted")
    assert door.metric("portunus_http2_resets_total", by="client") > 100
    with door.connect() as client:
        client.send(get("/after"))
        assert client.read_response().status == 200
    wait_until(lambda: door.metric("portunus_http_requests_in_flight") == 0, "nothing is left")


def test_websocket_that_the_member_does_not_grant(portunus, upstream):
    """Over HTTP/2 any 2xx would be the tunnel (RFC 8441 section 5)."""
    door = portunus(one_pool(upstream(serve_requests(echo))))
    with door.connect() as client:
        session = Http2(client)
        fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat"),
                  (":authority", "test.local"), ("sec-websocket-version", "13")]
        session.send(frame(HEADERS, END_HEADERS, 1, hpack(fields)))
        _, _, _, payload = session.next(HEADERS)
        assert payload[0] != 0x88  # :status 200
    wait_until(lambda: door.metric("portunus_http_requests_total", code="502") == 1, "it is a 502")


def test_budgets_are_configured(portunus, upstream):
    door = portunus(one_pool(upstream(serve_requests(echo)), limits={"h2_budgets": {"pings": {"burst": 3}}}))
    with door.connect() as client:
        session = Http2(client)
        session.send(*(frame(PING, 0, 0, b"12345678") for _ in range(4)))
        _, _, _, payload = session.next(GOAWAY)
        assert int.from_bytes(payload[4:8], "big") == 11  # ENHANCE_YOUR_CALM
    wait_until(lambda: door.metric("portunus_http2_floods_stopped_total", kind="pings") == 1, "it is counted")


@needs_curl
def test_not_without_being_allowed(portunus, upstream):
    door = portunus(one_pool_h1(upstream(serve_requests(echo))))
    result = subprocess.run([CURL, "--silent", "--http2-prior-knowledge", "--max-time", str(20 * SCALE),
                             f"http://127.0.0.1:{door.port}/"], capture_output=True, timeout=30 * SCALE, check=False)
    assert result.returncode != 0
    assert door.get().status == 200

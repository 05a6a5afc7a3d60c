"""THREATS.md section 1, what members send: 502 with the reason (or a cut connection when the answer had begun), the
connection never reused, never another client's answer."""

import pytest

from support.door import one_pool
from support.upstream import always
from support.wire import Truncated, chunked, get

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH_2 = b"Content-Length: 2\r\n"
NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"

BAD_HEADS = {
    "length and coding": OK + LENGTH_2 + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"ok"),
    "two lengths": OK + LENGTH_2 + b"Content-Length: 3\r\n\r\nok",
    "two equal lengths": OK + LENGTH_2 + LENGTH_2 + b"\r\nok",
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n\r\nok",
    "bad length": OK + b"Content-Length: 2x\r\n\r\nok",
    "negative length": OK + b"Content-Length: -2\r\n\r\nok",
    "length over 2^63": OK + b"Content-Length: 9223372036854775808\r\n\r\nok",
    "unknown coding": OK + b"Transfer-Encoding: gzip\r\n\r\nok",
    "two codings": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"ok"),
    "coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"ok"),
    "garbage": b"\x00\xffgarbage\r\n\r\n",
    "garbage before the status line": b"garbage\r\n" + OK + LENGTH_2 + b"\r\nok",
    "no status line": b"hello\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n" + LENGTH_2 + b"\r\nok",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n" + LENGTH_2 + b"\r\nok",
    "status 000": b"HTTP/1.1 000 OK\r\n" + LENGTH_2 + b"\r\nok",
    "status 700": b"HTTP/1.1 700 OK\r\n" + LENGTH_2 + b"\r\nok",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n" + LENGTH_2 + b"\r\nok",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n" + LENGTH_2 + b"\r\nok",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "bare CR in a value": OK + b"X-A: a\rb\r\n" + LENGTH_2 + b"\r\nok",
    "bare CR in the reason": b"HTTP/1.1 200 O\rK\r\n" + LENGTH_2 + b"\r\nok",
    "NUL in a value": OK + b"X-A: a\x00b\r\n" + LENGTH_2 + b"\r\nok",
    "folded line": OK + b"X-A: a\r\n b\r\n" + LENGTH_2 + b"\r\nok",
    "space before the colon": OK + b"Content-Length : 2\r\n\r\nok",
    "empty name": OK + b": x\r\n" + LENGTH_2 + b"\r\nok",
    "101 not asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n",
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "half a head": OK + b"Content-Le",
    "an endless head": OK + b"X-A: " + b"a" * 2_000_000 + b"\r\n" + LENGTH_2 + b"\r\nok",
    "endless fields": OK + b"".join(b"X-%d: a\r\n" % i for i in range(5000)) + LENGTH_2 + b"\r\nok",
    "a flood of 1xx": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 20000 + OK + LENGTH_2 + b"\r\nok",
}

CUT_BODIES = {
    "shorter than its length": OK + b"Content-Length: 100\r\n\r\nshort",
    "no last chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "half a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\na\r\nhello",
    "bad chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
    "bare LF behind a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
    "chunk with a sign": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n+5\r\nhello\r\n0\r\n\r\n",
    "no end of the trailers": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: 1\r\n",
}

# Whole answers with bytes behind them, which are nobody's answer.
EXTRA = {
    "bytes behind a length": OK + LENGTH_2 + b"\r\nok" + NEXT,
    "bytes behind chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"ok") + NEXT,
    "body on 204": b"HTTP/1.1 204 No Content\r\n\r\n" + NEXT,
    "body on 304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n" + NEXT,
    "length on 204": b"HTTP/1.1 204 No Content\r\nContent-Length: 79\r\n\r\n" + NEXT,
    "chunks on 204": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(NEXT),
}


def answer_first_badly(data):
    """Requests of /bad get `data` and, where the answer is unfinished, the end of the connection."""

    def script(connection):
        while (request := connection.read_request()) is not None:
            if request.target != "/bad":
                connection.reply()
                continue
            connection.send(data)
            connection.end_writing()
            while connection.read_some():
                pass
            return

    return script


def check_next(client_door, member):
    """The next requests get their own answers, on other connections than the bad one."""
    bad = [request.connection for request in member.requests if request.target == "/bad"]
    for _ in range(3):
        response = client_door.get("/good")
        assert (response.status, response.body) == (200, b"ok"), response
    good = [request.connection for request in member.requests if request.target == "/good"]
    assert not set(bad) & set(good), "a connection with a fault was used again"


@pytest.mark.parametrize("data", BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_bad_head_is_a_502(portunus, upstream, data):
    member = upstream(answer_first_badly(data))
    door = portunus(one_pool(member, threads=1))
    with door.connect() as client:
        client.send(get("/bad") + get("/good"))
        response = client.read_response()
        assert response.status == 502, response
        assert "proxy-status" in response.fields
        assert client.read_response().body == b"ok"
    check_next(door, member)


@pytest.mark.parametrize("data", CUT_BODIES.values(), ids=CUT_BODIES.keys())
def test_cut_body_looks_cut_to_the_client(portunus, upstream, data):
    member = upstream(answer_first_badly(data))
    door = portunus(one_pool(member, threads=1))
    with door.connect() as client:
        client.send(get("/bad") + get("/good"))
        try:
            response = client.read_response()
            assert response.status == 502, f"looks whole: {response}"
        except Truncated:
            assert client.is_ended
    check_next(door, member)


@pytest.mark.parametrize("data", EXTRA.values(), ids=EXTRA.keys())
def test_bytes_behind_an_answer_are_nobodys(portunus, upstream, data):
    member = upstream(always(data))
    door = portunus(one_pool(member, threads=1))
    with door.connect() as client:
        for number in range(3):
            client.send(get(f"/{number}"))
            response = client.read_response()
            assert response.status in (200, 204, 304, 502), response
            assert b"smuggled" not in response.body
    assert len(member.connections) == 3, "a connection with bytes behind its answer was used again"


def test_body_behind_the_answer_to_head(portunus, upstream):
    member = upstream(always(OK + LENGTH_2 + b"\r\nok"))
    door = portunus(one_pool(member, threads=1))
    with door.connect() as client:
        for _ in range(3):
            client.send(get("/", method="HEAD"))
            response = client.read_response("HEAD")
            assert response.status in (200, 502)
    assert len(member.connections) == 3


def test_answer_before_any_request_is_dropped(portunus, upstream):
    """Bytes on an idle connection are not the answer to the next request."""

    def script(connection):
        request = connection.read_request()
        if request is None:
            return
        connection.reply()
        if request.target == "/first":
            connection.send(NEXT)
            connection.fill()

    member = upstream(script)
    door = portunus(one_pool(member, threads=1))
    with door.connect() as client:
        client.send(get("/first"))
        assert client.read_response().body == b"ok"
        member.wait_for(lambda u: u.open_connections == 0, "the connection is closed")
        client.send(get("/second"))
        assert client.read_response().body == b"ok"


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 2", OK + b"Content-Length: 5\r\n\r\nab"], ids=["head", "line", "body"])
def test_reset_in_an_answer(portunus, upstream, data):
    def script(connection):
        while (request := connection.read_request()) is not None:
            if request.target == "/good":
                connection.reply()
                continue
            connection.send(data)
            connection.reset()
            return

    member = upstream(script)
    door = portunus(one_pool(member, threads=1))
    with door.connect() as client:
        client.send(get("/bad", method="POST") if not data else get("/bad"))
        try:
            assert client.read_response().status == 502
        except Truncated:
            assert b"Content-Length: 5" in data
    check_next(door, member)


def test_why_is_told(portunus, upstream):
    door = portunus(one_pool(upstream(always(BAD_HEADS["two lengths"])), access_log={"output": "stdout"}))
    response = door.get("/bad")
    assert response.status == 502
    assert "http_protocol_error" in response.header("proxy-status")
    assert b"upstream_protocol" in response.body
    assert door.metric("portunus_upstream_errors_total", reason="upstream_protocol") >= 1


def test_twins_in_answers_are_dropped(portunus, upstream):
    data = OK + b"Content_Length: 9\r\nTransfer_Encoding: chunked\r\n" + LENGTH_2 + b"\r\nok"
    response = portunus(one_pool(upstream(always(data)))).get()
    assert response.status in (200, 502)
    assert "transfer_encoding" not in response.fields and "content_length" not in response.fields

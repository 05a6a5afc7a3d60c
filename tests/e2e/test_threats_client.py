"""THREATS.md section 1, what clients send: each row is refused with its status and a close, and nothing of it reaches a
member."""

import pytest

from support.door import one_pool
from support.upstream import Upstream
from support.wire import chunked, get, head, post

CHUNKED = "Transfer-Encoding: chunked"


def with_length(*values, body=b"hello"):
    return head("POST / HTTP/1.1", *[f"Content-Length: {value}" for value in values]) + body


def with_coding(*values, version="1.1", body=chunked(b"hello")):
    return head(f"POST / HTTP/{version}", *[f"Transfer-Encoding: {value}" for value in values]) + body


def with_chunks(body):
    return head("POST / HTTP/1.1", CHUNKED) + body


def with_line(line):
    """A request with a raw line among its fields."""
    return b"GET / HTTP/1.1\r\nHost: test.local\r\n" + line + b"\r\nX-Last: 1\r\n\r\n"


def with_target(target):
    return b"GET " + target + b" HTTP/1.1\r\nHost: test.local\r\n\r\n"


LENGTHS = {
    "length and coding": head("POST / HTTP/1.1", "Content-Length: 5", CHUNKED) + chunked(b"hello"),
    "coding and length": head("POST / HTTP/1.1", CHUNKED, "Content-Length: 5") + chunked(b"hello"),
    "two lengths that differ": with_length(5, 6),
    "two equal lengths": with_length(5, 5),
    "a list of lengths": with_length("5, 5"),
    "a list of lengths that differ": with_length("5,6"),
    "length with plus": with_length("+5"),
    "negative length": with_length("-5"),
    "minus nought": with_length("-0"),
    "hexadecimal length": with_length("0x5"),
    "length with a space inside": with_length("5 5"),
    "empty length": with_length(""),
    "length over 2^63": with_length("9223372036854775808"),
    "length over 2^64": with_length("18446744073709551621"),
    "length of 30 digits": with_length("1" * 30),
    "length with a letter": with_length("5a"),
    "length with a comma": with_length("5,"),
    "length with vertical tab": with_length("\x0b5"),
}
CODINGS = {
    "identity": with_coding("identity"),
    "chunked twice in a list": with_coding("chunked, chunked"),
    "unknown coding": with_coding("xchunked"),
    "coding with a parameter": with_coding("chunked;q=1"),
    "coding with vertical tab before": with_coding("\x0bchunked"),
    "coding with vertical tab behind": with_coding("chunked\x0b"),
    "coding with form feed": with_coding("chunked\x0c"),
    "two coding fields": with_coding("chunked", "chunked"),
    "chunked, then identity in two fields": with_coding("chunked", "identity"),
    "gzip alone": with_coding("gzip"),
    "gzip, chunked": with_coding("gzip, chunked"),
    "chunked, gzip": with_coding("chunked, gzip"),
    "chunked and an empty element": with_coding("chunked,"),
    "empty coding": with_coding(""),
    "quoted coding": with_coding('"chunked"'),
    "coding in HTTP/1.0": with_coding("chunked", version="1.0"),
    "coding and length in HTTP/1.0": head("POST / HTTP/1.0", CHUNKED, "Content-Length: 5") + b"hello",
    "coding with a folded line": b"POST / HTTP/1.1\r\nHost: test.local\r\nTransfer-Encoding:\r\n chunked\r\n\r\n"
    + chunked(b"hello"),
    "space before the colon of the coding": b"POST / HTTP/1.1\r\nHost: test.local\r\nTransfer-Encoding : chunked\r\n\r\n"
    + chunked(b"hello"),
}
# In the body: a member may have seen the head already, but never the end of a request.
CHUNKS = {
    "empty chunk size": b"\r\nhello\r\n0\r\n\r\n",
    "chunk size with plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "chunk size with minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "chunk size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk size of 17 digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    "chunk size over 2^64": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "chunk size with a space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "chunk size with a space behind": b"5 \r\nhello\r\n0\r\n\r\n",
    "chunk size with a tab": b"5\t\r\nhello\r\n0\r\n\r\n",
    "chunk size with an underscore": b"1_0\r\nhello\r\n0\r\n\r\n",
    "bare LF behind the chunk size": b"5\nhello\r\n0\r\n\r\n",
    "bare CR behind the chunk size": b"5\rhello\r\n0\r\n\r\n",
    "no CRLF behind the data": b"5\r\nhello0\r\n\r\n",
    "bare LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "two bytes instead of CRLF behind the data": b"5\r\nhelloXX0\r\n\r\n",
    "longer data than its size": b"3\r\nhello\r\n0\r\n\r\n",
    "extension with a bare CR": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "extension with a bare LF": b"5;a\nhello\r\n0\r\n\r\n",
    "extension with a quoted CR LF": b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
    "extension with a quoted LF": b'5;a="\n"\r\nhello\r\n0\r\n\r\n',
    "extension with a NUL": b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
    "extension without bounds": b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
    "extensions without bounds in many chunks": b"".join(b"1;" + b"e" * 4000 + b"\r\nx\r\n" for _ in range(200))
    + b"0\r\n\r\n",
    "bare LF behind the last chunk": b"5\r\nhello\r\n0\n\n",
    "bare LF in the trailers": b"5\r\nhello\r\n0\r\nX-A: 1\n\r\n",
    "folded trailer": b"5\r\nhello\r\n0\r\nX-A: 1\r\n b\r\n\r\n",
    "trailer with a space before the colon": b"5\r\nhello\r\n0\r\nX-A : 1\r\n\r\n",
    "trailer without a colon": b"5\r\nhello\r\n0\r\nX-A\r\n\r\n",
    "trailers without bounds": b"5\r\nhello\r\n0\r\n" + b"X-A: " + b"t" * 100_000 + b"\r\n\r\n",
}
HEADS = {
    "bare CR in a value": with_line(b"X-A: a\rb"),
    "bare CR before CRLF": with_line(b"X-A: a\r"),
    "bare LF as line end": b"GET / HTTP/1.1\nHost: test.local\n\n",
    "bare LF behind one field": b"GET / HTTP/1.1\r\nHost: test.local\nX-A: 1\r\n\r\n",
    "bare LF behind the request line": b"GET / HTTP/1.1\nHost: test.local\r\n\r\n",
    "bare LF as the empty line": b"GET / HTTP/1.1\r\nHost: test.local\r\n\n",
    "NUL in a value": with_line(b"X-A: a\x00b"),
    "NUL in a name": with_line(b"X\x00A: b"),
    "bell in a value": with_line(b"X-A: a\x07b"),
    "delete in a value": with_line(b"X-A: a\x7fb"),
    "folded line": with_line(b"X-A: a\r\n b"),
    "folded with a tab": with_line(b"X-A: a\r\n\tb"),
    "folded empty value": with_line(b"X-A:\r\n b"),
    "space before the colon": with_line(b"X-A : b"),
    "tab before the colon": with_line(b"X-A\t: b"),
    "empty name": with_line(b": b"),
    "name with parentheses": with_line(b"X(A): b"),
    "name with a slash": with_line(b"X/A: b"),
    "name with a space": with_line(b"X A: b"),
    "name beyond ASCII": with_line(b"X\xc3\xa4: b"),
    "line without a colon": with_line(b"X-A"),
    "leading space on the first field": b"GET / HTTP/1.1\r\n Host: test.local\r\n\r\n",
    "leading tab on the first field": b"GET / HTTP/1.1\r\n\tX: 1\r\nHost: test.local\r\n\r\n",
}
HOSTS = {
    "no Host": head("GET / HTTP/1.1", host=None),
    "two Hosts": head("GET / HTTP/1.1", "Host: other.local"),
    "two equal Hosts": head("GET / HTTP/1.1", "Host: test.local"),
    "empty Host": head("GET / HTTP/1.1", host=""),
    "Host with a space": head("GET / HTTP/1.1", host="test .local"),
    "Host with a comma": head("GET / HTTP/1.1", host="test.local,other.local"),
    "Host with a slash": head("GET / HTTP/1.1", host="test.local/path"),
    "Host with userinfo": head("GET / HTTP/1.1", host="user@test.local"),
    "Host with a scheme": head("GET / HTTP/1.1", host="http://test.local"),
    "Host with a bad port": head("GET / HTTP/1.1", host="test.local:80x"),
    "Host with a port too large": head("GET / HTTP/1.1", host="test.local:70000"),
    "Host with an open bracket": head("GET / HTTP/1.1", host="[::1"),
    "Host with a question mark": head("GET / HTTP/1.1", host="test.local?x"),
    "Host with a quote": head("GET / HTTP/1.1", host='test"local'),
    "absolute form against another Host": head("GET http://one.local/ HTTP/1.1", host="two.local"),
    "absolute form with userinfo": head("GET http://user@test.local/ HTTP/1.1"),
    "absolute form without authority": head("GET http:///path HTTP/1.1"),
    "absolute form without Host": head("GET http://test.local/ HTTP/1.1", host=None),
    "absolute form with another scheme": head("GET ftp://test.local/ HTTP/1.1"),
}
LINES = {
    "two spaces": b"GET  / HTTP/1.1\r\nHost: test.local\r\n\r\n",
    "a space behind the version": b"GET / HTTP/1.1 \r\nHost: test.local\r\n\r\n",
    "a space inside the target": b"GET /a b HTTP/1.1\r\nHost: test.local\r\n\r\n",
    "a tab as separator": b"GET\t/\tHTTP/1.1\r\nHost: test.local\r\n\r\n",
    "a space before the method": b" GET / HTTP/1.1\r\nHost: test.local\r\n\r\n",
    "no version": b"GET /\r\nHost: test.local\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: test.local\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: test.local\r\n\r\n",
    "HTTP/0.9": b"GET / HTTP/0.9\r\nHost: test.local\r\n\r\n",
    "HTTP/1": b"GET / HTTP/1\r\nHost: test.local\r\n\r\n",
    "HTTP/1.10": b"GET / HTTP/1.10\r\nHost: test.local\r\n\r\n",
    "HTTP/01.1": b"GET / HTTP/01.1\r\nHost: test.local\r\n\r\n",
    "lower-case http": b"GET / http/1.1\r\nHost: test.local\r\n\r\n",
    "another protocol": b"GET / ICE/1.0\r\nHost: test.local\r\n\r\n",
    "a method with a colon": b"GE:T / HTTP/1.1\r\nHost: test.local\r\n\r\n",
    "no method": b" / HTTP/1.1\r\nHost: test.local\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS greeting": bytes.fromhex("16030100c8010000c40303") + b"r" * 64 + b"\r\n\r\n",
    "garbage": b"\x00\x01\x02\x03\r\n\r\n",
}
TARGETS = {
    "a fragment": with_target(b"/a#b"),
    "beyond ASCII": with_target(b"/\xc3\xa4"),
    "a control character": with_target(b"/a\x01b"),
    "a delete": with_target(b"/a\x7fb"),
    "a backslash": with_target(b"/a\\..\\b"),
    "no slash": with_target(b"path"),
    "a star for GET": with_target(b"*"),
    "above the root": with_target(b"/../etc/passwd"),
    "above the root, encoded": with_target(b"/%2e%2e/etc/passwd"),
    "above the root further in": with_target(b"/a/../../b"),
    "a broken escape": with_target(b"/%zz"),
    "half an escape": with_target(b"/a%2"),
    "an encoded NUL": with_target(b"/a%00b"),
    "a parent behind an encoded slash": with_target(b"/a%2f..%2fb"),
    "a parent with a parameter": with_target(b"/a/..;x=1/b"),
    "a control character in the query": with_target(b"/a?b\x01"),
}
METHODS = {
    "TRACE": head("TRACE / HTTP/1.1"),
    "CONNECT": head("CONNECT test.local:80 HTTP/1.1"),
    "CONNECT with a path": head("CONNECT / HTTP/1.1"),
}
EXPECTS = {
    "another expectation": head("POST / HTTP/1.1", "Expect: 200-ok", "Content-Length: 2") + b"ab",
    "two expectations": head("POST / HTTP/1.1", "Expect: 100-continue", "Expect: 100-continue", "Content-Length: 2")
    + b"ab",
}

TABLE = [
    *[(f"length: {name}", data, {400}) for name, data in LENGTHS.items()],
    *[(f"coding: {name}", data, {400, 501}) for name, data in CODINGS.items()],
    *[(f"head: {name}", data, {400}) for name, data in HEADS.items()],
    *[(f"host: {name}", data, {400}) for name, data in HOSTS.items()],
    *[(f"line: {name}", data, {400, 505}) for name, data in LINES.items()],
    *[(f"target: {name}", data, {400}) for name, data in TARGETS.items()],
    *[(f"method: {name}", data, {400, 405, 501}) for name, data in METHODS.items()],
    *[(f"expect: {name}", data, {417}) for name, data in EXPECTS.items()],
]


@pytest.fixture(scope="module")
def shared(module_keeper):
    member = module_keeper.upstream()
    return module_keeper.portunus(one_pool(member, threads=1)), member


def mark(member):
    """How much has come on each connection so far."""
    return {connection.number: len(connection.received) for connection in member.connections}


def came_since(member, before):
    return b"".join(bytes(connection.received[before.get(connection.number, 0):]) for connection in member.connections)


def canary(door, member, before):
    """A good request on a new connection: what came before it has been dealt with, and nothing was smuggled."""
    asked = len(member.requests)
    assert door.get("/canary").status == 200
    # One thread that has one request at a time keeps one connection: the member has read all others to their end. The
    # thread of one that was given up may come to its bytes after the one that answered this.
    member.wait_for(lambda u: u.open_connections <= 1, "the connections that were given up are closed")
    assert "/canary" in [request.target for request in member.requests[asked:]]
    assert b"/smuggled" not in came_since(member, before)


@pytest.mark.parametrize(("data", "statuses"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_refused(shared, data, statuses):
    door, member = shared
    before = mark(member)
    with door.connect() as client:
        client.send(data + get("/smuggled"))
        response = client.read_response()
        assert response.status in statuses, response
        assert response.header("connection") == "close", response
        client.expect_end()
    assert came_since(member, before) == b"", "reached the member"
    canary(door, member, before)


@pytest.mark.parametrize("body", CHUNKS.values(), ids=CHUNKS.keys())
def test_bad_chunks(shared, body):
    """A member may have seen the head and whole chunks; it never sees the end of such a request."""
    door, member = shared
    before, answered = mark(member), len(member.requests)
    with door.connect() as client:
        client.try_send(with_chunks(body) + get("/smuggled"))
        response = client.read_response()
        assert response.status == 400 or response.status in (413, 431), response
        client.expect_end()
    canary(door, member, before)
    for request in member.requests[answered:]:
        if request.target == "/canary":
            continue
        assert request.body == b"" and request.chunks is None, f"complete for the member: {request}"


def test_one_byte_at_a_time_changes_nothing(shared):
    door, member = shared
    before = mark(member)
    for name in ("length and coding", "a list of lengths"):
        with door.connect() as client:
            for byte in LENGTHS[name].partition(b"\r\n\r\n")[0] + b"\r\n\r\n":
                client.try_send(bytes([byte]))
            assert client.read_response().status == 400
            client.expect_end()
    assert came_since(member, before) == b""


def test_refusals_are_counted(shared):
    door, _ = shared
    before = door.metric("portunus_http_requests_rejected_total")
    with door.connect() as client:
        client.send(LENGTHS["two equal lengths"])
        assert client.read_response().status == 400
    assert door.metric("portunus_http_requests_rejected_total") > before
    reasons = {labels["reason"] for labels, _ in door.metrics().series("portunus_http_requests_rejected_total")}
    assert all(reason.startswith("rejected_") or reason in ("client_timeout",) for reason in reasons), reasons


# ---- pipelining


def test_request_behind_a_refused_one_is_never_answered(shared):
    door, member = shared
    before = mark(member)
    with door.connect() as client:
        client.send(get("/first") + LENGTHS["two lengths that differ"] + get("/smuggled"))
        assert client.read_response().status == 200
        assert client.read_response().status == 400
        client.expect_end()
    canary(door, member, before)


def test_request_behind_a_close_is_never_answered(shared):
    door, member = shared
    before = mark(member)
    with door.connect() as client:
        client.send(get("/last", "Connection: close") + get("/smuggled"))
        assert client.read_response().status == 200
        client.expect_end()
    canary(door, member, before)


def test_bytes_behind_a_refused_upgrade_are_no_request(shared):
    door, member = shared
    before = mark(member)
    with door.connect() as client:
        client.send(get("/plain", "Upgrade: websocket", "Connection: Upgrade") + get("/smuggled"))
        assert client.read_response().status == 200
        client.expect_end()
    canary(door, member, before)


# ---- framed as declared, passed on in our own writing


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_body_of_a_method_without_one_is_framed(shared, method):
    door, member = shared
    with door.connect() as client:
        client.send(post("/with-body", get("/smuggled"), method=method) + get("/next"))
        assert client.read_response(method).status == 200
        assert client.read_response().status == 200
    requests = [request for request in member.requests if request.target in ("/with-body", "/smuggled", "/next")][-2:]
    assert [request.target for request in requests] == ["/with-body", "/next"]
    assert requests[0].body == get("/smuggled")


@pytest.mark.parametrize("name", ["X_Forwarded_For", "X.Forwarded.For", "Content_Length", "Transfer_Encoding",
                                  "X_Request_Id"])
def test_twins_of_known_names_are_dropped(shared, name):
    door, member = shared
    response = door.get("/twin", f"{name}: 66.6.6.6")
    assert response.status in (200, 400)
    if response.status == 200:
        request = member.requests[-1]
        assert request.target == "/twin"
        assert "66.6.6.6" not in [value for _, value in request.fields.pairs]


PATHS = {
    "/a/../b": "/b", "/a/./b": "/a/b", "//a///b": "/a/b", "/a/%2e%2e/b": "/b", "/%61bc": "/abc", "/a%2fb": "/a%2Fb",
    "/a/b/..": "/a/", "/a/.": "/a/", "/%7euser": "/~user", "/a;x=1/b": "/a;x=1/b", "/a?x=/../y": "/a?x=/../y",
    "/a%20b": "/a%20b", "/%c0%ae%c0%ae/x": "/%C0%AE%C0%AE/x", "/?": "/?", "/a?b?c": "/a?b?c",
}


@pytest.mark.parametrize(("sent", "received"), PATHS.items(), ids=PATHS.keys())
def test_paths_are_normalised_once(shared, sent, received):
    door, member = shared
    assert door.get(sent).status == 200
    assert member.requests[-1].target == received


def test_matched_as_forwarded(module_keeper):
    """What a route matches is what its member sees."""
    public, secret = module_keeper.upstream(), module_keeper.upstream()
    door = module_keeper.portunus({
        "pools": {"public": {"upstreams": [public.address], "health": "off"},
                  "secret": {"upstreams": [secret.address], "health": "off"}},
        "sites": {"*": {"routes": [{"match": {"path": "/admin/*"}, "pool": "secret"}, {"pool": "public"}]}},
    })
    for path in ("/x/../admin/a", "//admin/a", "/%61dmin/a", "/./admin/a", "/admin%2e/../admin/a", "/%2e/admin/a"):
        assert door.get(path).status == 200
        assert secret.requests and secret.requests[-1].target == "/admin/a", path
        secret.requests.clear()
    assert not public.requests


def test_nothing_malformed_was_ever_sent(shared):
    """The upstream's own parser is strict: its connections have carried whole requests only."""
    _, member = shared
    assert isinstance(member, Upstream)
    assert member.errors == []

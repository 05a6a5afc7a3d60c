"""HTTP/1.1 on both sides: connections, bodies, interim answers, early answers (RFC 9110, RFC 9112)."""

import threading

import pytest

from support.door import one_pool
from support.upstream import serve_requests
from support.waiting import PATIENCE, wait_until
from support.wire import Truncated, answer, chunked, get, head, post

pytestmark = pytest.mark.smoke


def echo(connection, request):
    """Answers with the request's own line and body."""
    connection.reply(200, f"{request.method} {request.target} ".encode() + request.body)


def test_keep_alive_serves_many_requests_on_one_connection(portunus, upstream):
    door = portunus(one_pool(upstream(serve_requests(echo))))
    with door.connect() as client:
        for number in range(20):
            client.send(get(f"/{number}"))
            response = client.read_response()
            assert (response.status, response.body) == (200, f"GET /{number} ".encode())
            assert "close" not in response.header("connection", "")


def test_upstream_connections_are_reused(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member, threads=1))
    for _ in range(20):
        assert door.get().status == 200
    assert len(member.connections) == 1


def test_pipelined_requests_are_answered_in_order(portunus, upstream):
    door = portunus(one_pool(upstream(serve_requests(echo))))
    with door.connect() as client:
        client.send(b"".join(get(f"/{number}") for number in range(50)))
        assert [client.read_response().body for _ in range(50)] == [f"GET /{n} ".encode() for n in range(50)]


def test_pipelined_requests_wait_for_a_slow_first_answer(portunus, upstream):
    release = threading.Event()

    def slow_first(connection, request):
        if request.target == "/slow":
            release.wait(2 * PATIENCE)
        echo(connection, request)

    door = portunus(one_pool(upstream(serve_requests(slow_first))))
    with door.connect() as client:
        client.send(get("/slow") + post("/second", b"abc") + get("/third"))
        client.expect_silence(0.1)
        release.set()
        bodies = [client.read_response().body for _ in range(3)]
    assert bodies == [b"GET /slow ", b"POST /second abc", b"GET /third "]


def test_pipelined_requests_mix_own_and_upstream_answers(portunus, upstream):
    routes = [{"match": {"path": "/own"}, "respond": {"status": 200, "body": "own"}}]
    door = portunus(one_pool(upstream(serve_requests(echo)), site={"routes": routes}))
    with door.connect() as client:
        client.send(get("/a") + get("/own") + post("/b", b"x" * 1000) + get("/own"))
        bodies = [client.read_response().body for _ in range(4)]
    assert bodies == [b"GET /a ", b"own", b"POST /b " + b"x" * 1000, b"own"]


@pytest.mark.parametrize("size", [0, 1, 1000, 16384, 100_000, 3_000_000])
def test_body_with_length_goes_there_and_back(portunus, upstream, size):
    body = bytes(i * 7 % 251 for i in range(size))
    door = portunus(one_pool(upstream(serve_requests(lambda c, r: c.reply(200, r.body)))))
    response = door.ask(post("/", body))
    assert response.status == 200
    assert response.body == body


def test_chunked_body_goes_there_and_back(portunus, upstream):
    def answer_in_chunks(connection, request):
        assert request.header("transfer-encoding") == "chunked"
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(request.body, b"tail"))

    door = portunus(one_pool(upstream(serve_requests(answer_in_chunks))))
    with door.connect() as client:
        for _ in range(2):
            client.send(head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + chunked(b"first", b"x" * 70000, b"z"))
            response = client.read_response()
            assert response.header("transfer-encoding") == "chunked"
            assert response.body == b"first" + b"x" * 70000 + b"z" + b"tail"


def test_chunk_extensions_are_not_passed_on(portunus, upstream):
    member = upstream(serve_requests(echo))
    door = portunus(one_pool(member))
    request = head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + b'3;name="value";b\r\nabc\r\n0;last\r\n\r\n'
    assert door.ask(request).body == b"POST / abc"
    assert b"value" not in member.received and b";" not in member.received.split(b"\r\n\r\n", 1)[1]


def test_trailers_of_a_request_are_passed_on(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member))
    request = head("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-Sum")
    assert door.ask(request + chunked(b"abc", trailers=["X-Sum: 42"])).status == 200
    assert member.requests[0].trailers.get("x-sum") == "42"


def test_trailers_of_an_answer_are_passed_on(portunus, upstream):
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + chunked(b"a", trailers=["X-Sum: 7"])
    door = portunus(one_pool(upstream(serve_requests(lambda c, r: c.send(data)))))
    with door.connect() as client:
        client.send(get("/", "TE: trailers"))
        response = client.read_response()
        assert response.trailers.get("x-sum") == "7"
        client.send(get("/"))
        assert client.read_response().status == 200


def test_trailers_cannot_change_framing_or_routing(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member))
    trailers = ["Content-Length: 5", "Host: other.local", "Authorization: x", "Transfer-Encoding: chunked", "X-Fine: 1"]
    response = door.ask(head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + chunked(b"abc", trailers=trailers))
    assert response.status in (200, 400)
    if response.status == 200:
        assert [name for name, _ in member.requests[0].trailers.pairs] == ["x-fine"]


def test_head_has_the_length_and_no_body(portunus, upstream):
    def script(connection, request):
        body = b"" if request.method == "HEAD" else b"twelve bytes"
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + body)

    door = portunus(one_pool(upstream(serve_requests(script))))
    with door.connect() as client:
        client.send(get("/", method="HEAD") + get("/"))
        assert client.read_response("HEAD").header("content-length") == "12"
        assert client.read_response().body == b"twelve bytes"


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_body_keep_the_connection(portunus, upstream, status):
    data = f"HTTP/1.1 {status} Nothing\r\nETag: \"x\"\r\n\r\n".encode()
    door = portunus(one_pool(upstream(serve_requests(lambda c, r: c.send(data)))))
    with door.connect() as client:
        for _ in range(3):
            client.send(get("/"))
            response = client.read_response()
            assert response.status == status
            assert response.header("etag") == '"x"'
            assert "transfer-encoding" not in response.fields
    assert status == 304 or "content-length" not in response.fields


def test_answer_until_close_is_complete(portunus, upstream):
    def script(connection):
        if connection.read_request():
            connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 100_000)

    door = portunus(one_pool(upstream(script)))
    with door.connect() as client:
        for _ in range(2):
            client.send(get("/"))
            assert client.read_response().body == b"y" * 100_000


def test_http10_client_gets_the_answer_and_a_close(portunus, upstream):
    member = upstream(serve_requests(echo))
    door = portunus(one_pool(member))
    with door.connect() as client:
        client.send(head("GET /old HTTP/1.0"))
        assert client.read_response().body == b"GET /old "
        client.expect_end()
    assert member.requests[0].version == "1.1"


def test_http10_client_without_host_is_served(portunus, upstream):
    door = portunus(one_pool(upstream(serve_requests(echo))))
    with door.connect() as client:
        client.send(head("GET /old HTTP/1.0", host=None))
        assert client.read_response().status == 200


def test_http10_client_may_keep_the_connection(portunus, upstream):
    door = portunus(one_pool(upstream(serve_requests(echo))))
    with door.connect() as client:
        for number in range(3):
            client.send(head(f"GET /{number} HTTP/1.0", "Connection: keep-alive"))
            response = client.read_response()
            assert response.body == f"GET /{number} ".encode()
            assert response.header("connection").lower() == "keep-alive"


def test_http10_client_never_gets_chunks(portunus, upstream):
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"one", b"two")
    door = portunus(one_pool(upstream(serve_requests(lambda c, r: c.send(data)))))
    with door.connect() as client:
        client.send(head("GET / HTTP/1.0", "Connection: keep-alive"))
        response = client.read_response()
        assert "transfer-encoding" not in response.fields
        assert response.body == b"onetwo"


def test_absolute_form_reaches_the_upstream_in_origin_form(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member))
    assert door.ask(head("GET http://test.local/path?q=1 HTTP/1.1")).status == 200
    assert member.requests[0].target == "/path?q=1"
    assert member.requests[0].header("host") == "test.local"


def test_options_star_is_passed_on(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member))
    assert door.ask(head("OPTIONS * HTTP/1.1")).status == 200
    assert (member.requests[0].method, member.requests[0].target) == ("OPTIONS", "*")


def test_unknown_method_is_passed_on(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member))
    assert door.ask(head("PURGE /x HTTP/1.1")).status == 200
    assert member.requests[0].method == "PURGE"


def test_empty_lines_before_a_request_are_skipped(portunus, upstream):
    door = portunus(one_pool(upstream()))
    with door.connect() as client:
        client.send(b"\r\n" + get("/"))
        assert client.read_response().status == 200


def test_every_byte_in_a_packet_of_its_own(portunus, upstream):
    door = portunus(one_pool(upstream(serve_requests(echo))))
    with door.connect() as client:
        for byte in post("/slow", b"body", "X-A: 1") + get("/next"):
            client.send(bytes([byte]))
        assert client.read_response().body == b"POST /slow body"
        assert client.read_response().body == b"GET /next "


def test_whole_answer_survives_the_cut_of_the_next_one(portunus, upstream):
    """Pipelined, to a client that reads slowly: what was complete is the client's."""

    def script(connection):
        connection.read_request()
        connection.reply(200, b"o" * 50_000)
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nbad\r\n")

    member = upstream(script)
    door = portunus(one_pool(member))
    with door.connect(receive_buffer=2048) as client:
        client.send(get("/") + get("/"))
        member.wait_for_requests(2)  # before the first one nothing is in flight either
        wait_until(lambda: door.metric("portunus_http_requests_in_flight") == 0, "both are over")
        assert client.read_response().body == b"o" * 50_000
        with pytest.raises(Truncated):
            client.read_response()


def test_answer_in_single_bytes(portunus, upstream):
    def script(connection, _request):
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", b"defg"):
            connection.send(bytes([byte]))

    door = portunus(one_pool(upstream(serve_requests(script))))
    assert door.get().body == b"abcdefg"


def test_expect_continue_end_to_end(portunus, upstream):
    def script(connection):
        request = connection.read_head()
        assert request.header("expect") == "100-continue"
        assert connection.buffer == b"", "the body came before the 100"
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.read_body(request, False)
        connection.reply(200, request.body)

    door = portunus(one_pool(upstream(script)))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 5", "Expect: 100-continue"))
        assert client.read_response_head().status == 100
        client.send(b"hello")
        assert client.read_response().body == b"hello"


def test_expect_continue_may_be_refused(portunus, upstream):
    def script(connection):
        if connection.read_head():
            connection.reply(403, b"no")
            connection.fill()

    door = portunus(one_pool(upstream(script)))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 5", "Expect: 100-continue"))
        response = client.read_response()
        assert (response.status, response.interim) == (403, [])
        client.expect_end()  # the five bytes might still come


def test_early_hints_are_passed_on(portunus, upstream):
    def script(connection, _request):
        connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        connection.reply()

    door = portunus(one_pool(upstream(serve_requests(script))))
    with door.connect() as client:
        client.send(get("/") + get("/"))
        for _ in range(2):
            response = client.read_response()
            assert [hint.status for hint in response.interim] == [103]
            assert response.interim[0].header("link") == "</a.css>; rel=preload"
            assert response.body == b"ok"


def test_http10_client_gets_no_interim_answer(portunus, upstream):
    def script(connection, _request):
        connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        connection.reply()

    door = portunus(one_pool(upstream(serve_requests(script))))
    with door.connect() as client:
        client.send(head("GET / HTTP/1.0"))
        assert client.read_response().interim == []


def test_events_arrive_one_by_one(portunus, upstream):
    seen = threading.Event()

    def script(connection, _request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            event = f"data: {number}\n\n".encode()
            connection.send(b"%x\r\n%s\r\n" % (len(event), event))
            assert seen.wait(2 * PATIENCE), "the event did not arrive before the next one"
            seen.clear()
        connection.send(b"0\r\n\r\n")

    door = portunus(one_pool(upstream(serve_requests(script))))
    with door.connect() as client:
        client.send(get("/events"))
        assert client.read_response_head().status == 200
        for number in range(5):
            assert client.read_chunk() == f"data: {number}\n\n".encode()
            seen.set()
        assert client.read_chunk() == b""


def test_head_of_an_answer_does_not_wait_for_its_body(portunus, upstream):
    seen = threading.Event()

    def script(connection, _request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
        assert seen.wait(2 * PATIENCE)
        connection.send(b"abc")

    door = portunus(one_pool(upstream(serve_requests(script))))
    with door.connect() as client:
        client.send(get("/"))
        response = client.read_response_head()
        seen.set()
        client.read_body(response, False)
        assert response.body == b"abc"


def test_request_body_streams_before_it_is_complete(portunus, upstream):
    came = threading.Event()

    def script(connection):
        request = connection.read_head()
        assert connection.read_exactly(5) == b"first"
        came.set()
        assert connection.read_exactly(6) == b"second"
        connection.reply()
        assert request.header("content-length") == "11"
        connection.fill()

    door = portunus(one_pool(upstream(script)))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 11") + b"first")
        assert came.wait(2 * PATIENCE), "the first part did not arrive"
        client.send(b"second")
        assert client.read_response().status == 200


def test_early_answer_while_uploading(portunus, upstream):
    def script(connection):
        if connection.read_head():
            connection.reply(413, b"enough", "Connection: close")
            connection.end_writing()
            while connection.read_some():
                pass

    door = portunus(one_pool(upstream(script)))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 50000000") + b"x" * 1000)
        response = client.read_response()
        assert (response.status, response.body) == (413, b"enough")
        client.try_send(b"x" * 1000)
        client.expect_end()


def test_connection_close_is_obeyed(portunus, upstream):
    member = upstream(serve_requests(echo))
    door = portunus(one_pool(member))
    with door.connect() as client:
        client.send(get("/", "Connection: close"))
        response = client.read_response()
        assert response.status == 200
        assert response.header("connection") == "close"
        client.expect_end()
    assert "close" not in (member.requests[0].header("connection") or "")


def test_close_of_an_upstream_is_not_the_clients_matter(portunus, upstream):
    def script(connection):
        if connection.read_request():
            connection.reply(200, b"ok", "Connection: close")

    member = upstream(script)
    door = portunus(one_pool(member))
    with door.connect() as client:
        for _ in range(3):
            client.send(get("/"))
            response = client.read_response()
            assert response.status == 200
            assert "close" not in response.header("connection", "")
    assert len(member.connections) == 3


def test_requests_per_connection_is_a_limit(portunus, upstream):
    door = portunus(one_pool(upstream(), limits={"requests_per_connection": 3}))
    with door.connect() as client:
        for number in range(1, 4):
            client.send(get("/"))
            response = client.read_response()
            assert response.status == 200
            assert (response.header("connection") == "close") == (number == 3)
        client.expect_end()


def test_half_closed_client_gets_its_answer(portunus, upstream):
    door = portunus(one_pool(upstream(serve_requests(echo))))
    with door.connect() as client:
        client.send(get("/"))
        client.end_writing()
        assert client.read_response().body == b"GET / "
        client.expect_end()


def test_client_that_leaves_ends_the_request_upstream(portunus, upstream):
    def script(connection):
        connection.read_request()
        connection.fill()  # until the program closes

    member = upstream(script)
    door = portunus(one_pool(member))
    client = door.connect()
    client.send(get("/"))
    member.wait_for_requests(1)
    client.reset()
    member.wait_for(lambda u: u.open_connections == 0, "the upstream connection is closed")
    assert door.is_running


def test_large_answer_head_is_passed_on(portunus, upstream):
    cookies = [f"Set-Cookie: c{number}={'v' * 200}" for number in range(60)]
    door = portunus(one_pool(upstream(serve_requests(lambda c, r: c.send(answer(200, b"ok", *cookies))))))
    response = door.get()
    assert len(response.fields.all("set-cookie")) == 60
    assert response.body == b"ok"

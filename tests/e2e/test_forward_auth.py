"""A service that is asked about each request before it goes on."""

import shutil
import subprocess

import pytest

from support.door import addresses, one_pool
from support.upstream import serve_requests
from support.waiting import SCALE
from support.wire import chunked, get, head, post
from test_access_log import entries, with_log

smoke = pytest.mark.smoke
CURL = shutil.which("curl")
ECHO = serve_requests(lambda connection, request: connection.reply(200, request.body))


def with_service(members, services, pool=None, **rule):
    config = one_pool(members, site={"forward_auth": {"pool": "auth", "path": "/verify", **rule}})
    config["pools"]["auth"] = {"upstreams": addresses(services), "health": "off", **(pool or {})}
    return config


def says(status=200, body=b"", *fields):
    return serve_requests(lambda connection, request: connection.reply(status, body, *fields))


@smoke
def test_who_is_let_in_and_what_the_service_hears(portunus, upstream):
    member, service = upstream(), upstream(says(200, b"fine", "Remote-User: alice", "Remote-Groups: a", "X-Other: no"))
    door = portunus({**with_service([member], [service], copy_headers=["Remote-User", "Remote-Groups"]), "threads": 1})
    for _ in range(2):
        response = door.ask(post("/a/b?x=1", b"word", "Cookie: c=1", "Authorization: Bearer t", "Remote-User: root", "Remote_User: root",
                                 "X-Forwarded-Uri: /open", "X_Forwarded_Uri: /open", "X-Original-URL: /open", "If-None-Match: x",
                                 "Connection: Remote-User, Remote-Groups"))
        assert response.status == 200
    for question in service.requests:
        assert (question.method, question.target, question.body) == ("GET", "/verify", b"")
        assert question.fields.get("x-forwarded-method") == "POST"
        assert question.fields.get("x-forwarded-uri") == "/a/b?x=1"
        assert question.fields.get("x-forwarded-host") == "test.local"
        assert question.fields.get("x-forwarded-proto") == "http"
        assert question.fields.get("x-forwarded-for") == "127.0.0.1"
        assert question.fields.get("cookie") == "c=1"
        assert question.fields.get("authorization") == "Bearer t"
        names = {name for name, _ in question.fields.pairs}
        assert not names & {"remote-user", "remote_user", "x_forwarded_uri", "x-original-url", "if-none-match",
                            "content-length", "content-type", "transfer-encoding"}
    for request in member.requests:
        assert request.body == b"word"
        assert request.fields.all("remote-user") == ["alice"]
        assert request.fields.all("remote-groups") == ["a"]
        assert not {"remote_user", "x-other"} & {name for name, _ in request.fields.pairs}
    assert len(service.connections) == 1, "it is kept"
    assert door.metric("portunus_forward_auth_total", pool="auth", result="allowed") == 2


@smoke
@pytest.mark.parametrize("status, fields", [(401, ["WWW-Authenticate: Bearer"]), (403, []), (302, ["Location: /login"]), (500, [])])
def test_another_answer_goes_to_the_client(portunus, upstream, status, fields):
    member, service = upstream(), upstream(says(status, b"who are you?", "Set-Cookie: a=1", "Set-Cookie: b=2", *fields))
    door = portunus(with_log(with_service([member], [service])))
    response = door.get("/")
    assert (response.status, response.body) == (status, b"who are you?")
    assert response.fields.all("set-cookie") == ["a=1", "b=2"]
    for field in fields:
        name, value = field.split(": ")
        assert response.header(name) == value
    assert door.get("/", method="HEAD").status == status
    assert member.requests == []
    assert {entry["end_reason"] for entry in entries(door, 2)} == {"rejected_forward_auth"}
    assert door.metric("portunus_forward_auth_total", pool="auth", result="denied") == 2
    assert door.metric("portunus_http_requests_rejected_total", reason="rejected_forward_auth") == 2


@pytest.mark.parametrize("is_known", [True, False])
def test_a_large_answer_goes_to_the_client_whole(portunus, upstream, is_known):
    body = bytes(i % 251 for i in range(3_000_000))
    large = says(403, body) if is_known else serve_requests(lambda connection, _: connection.send(
        b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, trailers=["X-End: 1"])))
    door = portunus(with_service([upstream()], [upstream(large)]))
    response = door.get("/")
    assert (response.status, response.body) == (403, body)


def test_a_large_body_of_a_yes_is_not_waited_for(portunus, upstream):
    def endless(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nRemote-User: alice\r\n\r\n")
        while connection.try_send(b"10000\r\n" + bytes(65536) + b"\r\n"):
            pass

    member = upstream()
    door = portunus(with_service([member], [upstream(endless)], copy_headers="Remote-User"))
    assert door.get("/").status == 200
    assert member.requests[0].fields.get("remote-user") == "alice"


@smoke
def test_no_answer_lets_nobody_pass(portunus, upstream):
    member, gone = upstream(), upstream()
    gone.close()
    retry = {"retry": {"for": "0s"}}
    door = portunus(with_log(with_service([member], [gone], pool=retry)))
    response = door.get("/")
    assert response.status in (502, 503)
    assert member.requests == []
    assert entries(door, 1)[0]["end_reason"] in ("upstream_connect", "no_healthy_upstream")
    assert door.metric("portunus_forward_auth_total", pool="auth", result="failed") == 1


def test_a_service_that_says_nothing(portunus, upstream):
    member, service = upstream(), upstream(lambda connection: (connection.read_request(), connection.read_request()))
    door = portunus(with_log(with_service([member], [service], timeout="300ms")))
    assert door.get("/").status == 504
    assert member.requests == []
    assert entries(door, 1)[0]["end_reason"] == "upstream_timeout"


def test_a_service_that_resets_has_another_member(portunus, upstream):
    member, good = upstream(), upstream(says(200))
    bad = upstream(lambda connection: (connection.read_request(), connection.reset()))
    door = portunus(with_service([member], [bad, good], pool={"balance": "round_robin"}))
    for _ in range(4):
        assert door.get("/").status == 200
    assert bad.requests, "it was asked, too"
    assert len(member.requests) == 4


def test_a_client_that_leaves_ends_the_question(portunus, upstream):
    member, service = upstream(), upstream(lambda connection: (connection.read_request(), connection.expect_end()))
    door = portunus(with_log(with_service([member], [service], timeout="1h")))
    with door.connect() as client:
        client.send(get("/"))
        service.wait_for_requests(1)
        client.reset()
    service.wait_for(lambda u: u.open_connections == 0, "the question is given up")
    assert entries(door, 1)[0]["end_reason"] == "client_closed"
    assert member.requests == []


@smoke
@pytest.mark.parametrize("size", [10, 60_000, 3_000_000])
def test_a_body_waits(portunus, upstream, size):
    door = portunus(with_service([upstream(ECHO)], [upstream(says(200))]))
    body = bytes(i % 251 for i in range(size))
    for _ in range(2):
        response = door.ask(post("/", body))
        assert (response.status, response.body) == (200, body)


def test_a_client_that_waits_for_leave_is_refused_before_its_body(portunus, upstream):
    member = upstream()
    door = portunus(with_service([member], [upstream(says(401))]))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 1000", "Expect: 100-continue"))
        assert client.read_response_head().status == 401
    assert member.requests == []


def test_a_trailer_says_nothing_of_the_user_and_other_routes_neither(portunus, upstream):
    member, service = upstream(), upstream(says(200))
    config = with_service([member], [service], copy_headers="Remote-User")
    site = config["sites"]["*"]
    config["sites"]["*"] = {"forward_auth": site["forward_auth"], "cors": ["https://app.example"],
                            "routes": [{"match": {"path": "/open"}, "forward_auth": "off", "pool": "web"}, {"pool": "web"}]}
    door = portunus(config)
    assert door.get("/open", "Remote-User: root", "Remote_User: root").status == 200
    assert service.requests == []
    assert not {"remote-user", "remote_user"} & {name for name, _ in member.requests[0].fields.pairs}
    asks = door.ask(get("/", "Origin: https://app.example", "Access-Control-Request-Method: GET", method="OPTIONS"))
    assert (asks.status, service.requests) == (204, []), "browsers ask that without a name"
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + chunked(b"x", trailers=["Remote_User: root"]))
        assert client.read_response().status == 400


def test_a_websocket_is_asked_about_without_its_upgrade(portunus, upstream):
    def tunnel(connection):
        connection.read_head()
        connection.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        connection.send(connection.read_exactly(4))

    member, service = upstream(tunnel), upstream(says(200, b"", "Remote-User: alice"))
    door = portunus(with_service([member], [service], copy_headers="Remote-User"))
    with door.connect() as client:
        client.send(get("/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x"))
        assert client.read_response_head().status == 101
        client.send(b"ping")
        assert client.read_exactly(4) == b"ping"
    assert "upgrade" not in service.requests[0].fields
    assert member.requests[0].fields.get("remote-user") == "alice"


@pytest.mark.skipif(not CURL, reason="curl is not installed")
def test_over_http2(portunus, upstream):
    decides = serve_requests(lambda connection, request: connection.reply(
        200 if request.fields.get("x-forwarded-uri") == "/yes" else 403, b"decided"))
    door = portunus({**with_service([upstream(ECHO)], [upstream(decides)]), "front": {"protocols": ["h1", "h2"]}})
    for path, expected in (("/yes", "word 200 2"), ("/no", "decided 403 2")):
        told = subprocess.run([CURL, "-s", "--http2-prior-knowledge", "-d", "word", "-w", " %{http_code} %{http_version}",
                               f"http://127.0.0.1:{door.port}{path}"], capture_output=True, text=True, timeout=20 * SCALE, check=True)
        assert told.stdout == expected

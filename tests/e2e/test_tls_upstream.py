"""TLS with members: who is believed, what is sent, what happens when it fails, and when files change."""

import json
import os
import ssl

import pytest

from support.certificates import Authority
from support.door import one_pool, run_program
from support.tls_upstream import TlsUpstream, nginx, s_server, server_context
from support.upstream import serve_requests
from support.waiting import SANITIZER, wait_until, wait_until_still
from support.websocket import CLOSE, frame, open_websocket, read_frame
from support.websocket import echo as websocket_echo
from support.wire import Truncated, answer, chunked, get, head, post

smoke = pytest.mark.smoke

QUICK = {"interval": "200ms", "timeout": "2s", "rise": 1, "fall": 1}


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def stranger(tmp_path):
    """An authority that nobody trusts."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    return Authority(folder)


@pytest.fixture
def member(keeper):
    """A member that speaks TLS with these files."""

    def make(files, script=None, **options):
        made = TlsUpstream(server_context(files, **options), **({"script": script} if script else {}))
        keeper.upstreams.append(made)
        return keeper.keep(made)

    return make


def address(authority, name="127.0.0.1"):
    return authority.make(name)


def trusting(authority, **tls):
    """Of a pool; without retries, which would wait for a better day."""
    return {"tls": {"ca_file": str(authority.root), **tls}, "retry": "off"}


def wait_for_log(door, text):
    wait_until(lambda: text in door.log(), f"the log says: {text}")


def echo(connection, request):
    connection.send(answer(200, request.body))


# ---- requests


@smoke
def test_requests_over_one_verified_connection(portunus, member, authority):
    server = member(address(authority))
    door = portunus(one_pool(server, trusting(authority), access_log={"output": "access.log"}, threads=1))
    with door.connect() as client:
        for number in range(5):
            client.send(get(f"/{number}"))
            assert client.read_response().body == b"ok"
    assert [request.connection for request in server.requests] == [1] * 5
    assert server.names == [None]  # no server name: it is an address
    assert server.handshakes[0].version == "TLSv1.3"
    assert server.handshakes[0].protocol == "http/1.1"
    assert server.requests[0].header("x-forwarded-proto") == "http"
    assert door.metric("portunus_upstream_phase_duration_seconds_count", pool="web", phase="tls") == 1
    assert door.metric("portunus_upstream_phase_duration_seconds_count", pool="web", phase="connect") == 1
    lines = wait_until(lambda: (door.folder / "access.log").read_text().splitlines()[4:] and
                       (door.folder / "access.log").read_text().splitlines(), "the access log")
    first, second = json.loads(lines[0]), json.loads(lines[1])
    assert first["upstream_tls_s"] > 0 and first["upstream_connect_s"] >= 0
    assert "upstream_tls_s" not in second


@smoke
def test_large_bodies_both_ways(portunus, member, authority):
    server = member(address(authority), serve_requests(echo))
    door = portunus(one_pool(server, trusting(authority)))
    body = os.urandom(5_000_000)
    assert door.ask(post("/", body)).body == body
    parts = [body[:1], body[1:100_000], body[100_000:1_000_000]]
    request = head("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Connection: close") + chunked(*parts)
    assert door.ask(request).body == body[:1_000_000]


def test_a_slow_client_of_a_large_answer(portunus, member, authority):
    body = os.urandom(20_000_000)
    server = member(address(authority), serve_requests(lambda c, _: c.send(answer(200, body))))
    door = portunus(one_pool(server, trusting(authority)))
    with door.connect(receive_buffer=8192) as client:
        client.send(get("/"))
        server.wait_for_requests(1)
        resident = wait_until_still(door.resident_bytes, "what is kept of the answer")
        assert SANITIZER or resident < 50_000_000
        assert client.read_response().body == body


@smoke
def test_sessions_are_resumed(portunus, member, authority):
    once = serve_requests(lambda c, _: c.send(answer(200, b"ok", "Connection: close")))
    server = member(address(authority), once)
    door = portunus(one_pool(server, trusting(authority), threads=1))
    for _ in range(3):
        assert door.get().status == 200
    assert [each.is_resumed for each in server.handshakes] == [False, True, True]


def test_websocket_over_tls(portunus, member, authority):
    door = portunus(one_pool(member(address(authority), websocket_echo), trusting(authority)))
    with door.connect() as client:
        open_websocket(client)
        for payload in (b"hello", b"x" * 70_000, b"last"):
            client.send(frame(payload, masked=True))
            assert read_frame(client) == (1, payload)
        client.send(frame(b"", CLOSE, masked=True))
        assert read_frame(client) == (CLOSE, b"")


@smoke
def test_nginx_as_a_member(portunus, keeper, authority):
    server = keeper.keep(nginx(keeper.folder, authority.make("app.internal")))
    content = os.urandom(3_000_000)
    (keeper.folder / "www" / "file").write_bytes(content)
    door = portunus(one_pool(server, trusting(authority, server_name="app.internal")))
    assert door.get("/hello").body.split()[:2] == [b"app.internal", b"TLSv1.3"]
    for _ in range(3):
        assert door.get("/file").body == content


def test_tls_1_2(portunus, member, authority):
    server = member(address(authority), version=ssl.TLSVersion.TLSv1_2)
    door = portunus(one_pool(server, trusting(authority), threads=1))
    assert door.get().status == 200
    assert server.handshakes[0].version == "TLSv1.2"


def test_openssl_as_a_member(portunus, keeper, authority):
    """Its answer ends with the connection: by TLS's own word."""
    for version in ("-tls1_2", "-tls1_3"):
        server = keeper.keep(s_server(keeper.folder, address(authority), version))
        door = portunus(one_pool(server, trusting(authority)))
        response = door.get()
        assert response.status == 200
        assert b"New, TLSv1." in response.body and response.body.rstrip().lower().endswith(b"</html>")


def test_an_answer_that_was_cut_off_is_not_whole(portunus, member, authority):
    """A body without a length, and an end of the connection that TLS knows nothing of."""

    def cut(connection, _request):
        connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it")
        raise OSError("cut off")

    door = portunus(one_pool(member(address(authority), serve_requests(cut)), trusting(authority)))
    with pytest.raises(Truncated):
        door.get()


# ---- who is believed


@smoke
@pytest.mark.parametrize("name, tls, expected", [
    ("127.0.0.1", {}, None),
    ("app.internal", {"server_name": "app.internal"}, None),
    ("127.0.0.2", {}, "the certificate is for another address"),
    ("app.internal", {}, "the certificate is for another address"),
    ("app.internal", {"server_name": "other.internal"}, "the certificate is for another name"),
    ("127.0.0.1", {"server_name": "app.internal"}, "the certificate is for another name"),
    ("other.internal", {"verify": False, "server_name": "app.internal"}, None),
])
def test_names(portunus, member, authority, name, tls, expected):
    server = member(authority.make(name))
    door = portunus(one_pool(server, trusting(authority, **tls)))
    response = door.get()
    server.wait_for(lambda s: s.names, "the handshake is over")
    assert server.names[0] == tls.get("server_name")
    if expected is None:
        assert response.status == 200
        return
    assert response.status == 502 and b"upstream_tls" in response.body
    wait_for_log(door, f"pool web: no connection to {server.address}: {expected}")
    wait_until(lambda: door.metric("portunus_upstream_errors_total", pool="web", reason="upstream_tls") >= 1, "it is counted")
    assert server.requests == []


def test_a_host_name_is_verified_as_it_is_written(portunus, member, authority):
    server = member(authority.make("localhost"))
    door = portunus(one_pool(f"localhost:{server.port}", trusting(authority)))
    assert door.get().status == 200
    assert server.names[0] == "localhost"
    server.context = server_context(authority.make("otherhost"))
    server.hang_up()
    wait_until(lambda: door.get().status == 502, "the certificate is for somebody else")


@smoke
def test_strangers_are_not_believed(portunus, member, authority, stranger):
    server = member(address(stranger))
    door = portunus(one_pool(server, trusting(authority)))
    for _ in range(5):
        response = door.ask(post("/", b"secret"))
        assert response.status == 502 and b"upstream_tls" in response.body
        assert response.header("proxy-status") is None or "tls" in response.header("proxy-status")
    assert server.requests == [] and server.handshakes == []
    wait_for_log(door, "the certificate is of an unknown authority")
    # One line in ten seconds for a member and a thread, however many requests fail.
    assert door.log().count("no connection to") <= 2


def test_expired_certificates_are_not_believed(portunus, member, authority):
    door = portunus(one_pool(member(authority.make("127.0.0.1", days=0)), trusting(authority)))
    wait_until(lambda: door.get().status == 502, "it has expired")
    wait_for_log(door, "the certificate has expired")


@smoke
def test_the_systems_authorities_are_the_default(portunus, member, authority, stranger):
    server = member(address(authority))
    pool = {"tls": True, "retry": "off"}
    environment = {"SSL_CERT_FILE": str(authority.root)}
    assert portunus(one_pool(server, pool), env=environment).get().status == 200
    environment = {"SSL_CERT_FILE": str(stranger.root)}
    assert portunus(one_pool(server, pool), env=environment).get().status == 502


def test_check_says_what_is_not_verified(tmp_path, authority):
    file = tmp_path / "checked.yaml"
    text = "sites: { '*': { pool: web } }\npools:\n  web:\n    upstreams: 127.0.0.1:1\n    tls: { verify: false }\n"
    file.write_text(text)
    result = run_program("check", str(file))
    assert result.returncode == 0
    assert ":5:20: warning: `verify: false`: whoever answers is taken for a member of the pool" in result.stderr
    file.write_text(text.replace("verify: false", "ca_file: none.pem"))
    result = run_program("check", str(file))
    assert result.returncode == 1 and "none.pem: No such file or directory" in result.stderr
    file.write_text(text.replace("{ verify: false }", "true"))
    result = run_program("check", str(file), env={"SSL_CERT_FILE": "/does/not/exist"})
    assert result.returncode == 1
    assert "the system's certificates of authorities in /does/not/exist: No such file" in result.stderr


# ---- failures


def test_a_member_that_speaks_plain_http(portunus, upstream, authority):
    server = upstream(lambda c: (c.fill(), c.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")))
    door = portunus(one_pool(server, trusting(authority)))
    response = door.get()
    assert response.status == 502 and b"upstream_tls" in response.body
    wait_for_log(door, "the member does not speak TLS")


@smoke
def test_a_handshake_that_stalls_is_bounded(portunus, member, upstream, authority, stopwatch):
    silent = upstream(lambda c: c.read_until_end())
    pool = {**trusting(authority), "timeouts": {"tls": "300ms"}}
    door = portunus(one_pool(silent, pool))
    response = door.get()
    assert response.status == 502 and b"upstream_tls" in response.body
    assert 0.25 < stopwatch()
    wait_for_log(door, "the TLS handshake timed out")


@smoke
def test_nothing_was_sent_so_another_member_has_it(portunus, member, authority, stranger):
    """Even what may not be sent twice."""
    bad, good = member(address(stranger)), member(address(authority), serve_requests(echo))
    pool = {**trusting(authority), "balance": "round_robin", "retry": {"attempts": 3}}
    door = portunus(one_pool([bad, good], pool))
    for _ in range(6):
        response = door.ask(post("/", b"once"))
        assert (response.status, response.body) == (200, b"once")
    assert bad.requests == [] and len(good.requests) == 6


# ---- our own certificate


@smoke
def test_members_that_ask_for_our_certificate(portunus, member, authority, stranger):
    server = member(address(authority), clients=authority.root)
    door = portunus(one_pool(server, trusting(authority, **authority.make("us"))))
    assert door.get().status == 200
    assert ("commonName", "us") in [part[0] for part in server.handshakes[0].peer["subject"]]
    for other in ({}, stranger.make("them")):
        door = portunus(one_pool(server, trusting(authority, **other)))
        response = door.get()
        assert response.status == 502 and b"upstream_tls" in response.body, response
    shown = portunus(one_pool(server, trusting(authority, **authority.make("us"))))
    for text in (shown.log(), json.dumps(shown.json("/v1/pools")), json.dumps(shown.json("/v1/certificates"))):
        assert "PRIVATE" not in text
    assert shown.json("/v1/certificates")["certificates"][0]["names"] == ["us"]


def test_our_certificate_is_read_again_when_it_changes(portunus, member, authority):
    server = member(address(authority), clients=authority.root)
    door = portunus(one_pool(server, trusting(authority, **authority.make("us")), threads=1))
    assert door.get().status == 200
    before = server.handshakes[-1].peer["serialNumber"]
    authority.make("us")

    def is_new():
        return door.get().status == 200 and server.handshakes[-1].peer["serialNumber"] != before

    wait_until(is_new, "the new certificate is shown")
    # The thread has it before the reload is at its end; and half of a pair may have been refused before.
    wait_until(lambda: door.json("/v1/status")["config"]["last_reload_ok"], "all is well")


# ---- probes


@smoke
@pytest.mark.parametrize("health", [QUICK, {"path": "/health", **QUICK}], ids=["tcp", "http"])
def test_probes_verify_as_requests_do(portunus, member, authority, stranger, health):
    server = member(address(authority))
    door = portunus(one_pool(server, {**trusting(authority), "health": health}))
    door.wait_for_state(server.address, "up")
    assert door.get().status == 200
    # Whoever has taken its place is not believed, sessions or not.
    server.context = server_context(address(stranger))
    down = door.wait_for_state(server.address, "down")
    assert "TLS: the certificate is of an unknown authority" in json.dumps(down)
    server.hang_up()
    wait_until(lambda: door.get().status == 503, "no member is up")
    assert b"no_healthy_upstream" in door.get().body
    server.context = server_context(address(authority))
    door.wait_for_state(server.address, "up")
    assert door.get().status == 200


def test_probes_of_members_that_do_not_speak_tls(portunus, upstream, authority):
    server = upstream(lambda c: (c.fill(), c.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")))
    door = portunus(one_pool(server, {**trusting(authority), "health": QUICK}))
    assert "does not speak TLS" in json.dumps(door.wait_for_state(server.address, "down"))


def test_probes_show_our_certificate(portunus, member, authority):
    server = member(address(authority), clients=authority.root)
    health = {"path": "/health", **QUICK}
    door = portunus(one_pool(server, {**trusting(authority, **authority.make("us")), "health": health}))
    door.wait_for_state(server.address, "up")
    door = portunus(one_pool(server, {**trusting(authority), "health": health}))
    down = door.wait_for_state(server.address, "down")
    assert "TLS: tlsv13 alert certificate required" in json.dumps(down)


# ---- files that change


@smoke
def test_a_certificate_replaced_by_an_untrusted_one(portunus, member, authority, stranger):
    server = member(address(authority))
    door = portunus(one_pool(server, trusting(authority), threads=1))
    assert door.get().status == 200
    server.context = server_context(address(stranger))
    assert door.get().status == 200  # what was verified stands
    server.hang_up()
    response = door.get()
    assert response.status == 502 and b"upstream_tls" in response.body


@smoke
def test_other_authorities_are_read_without_a_reload(portunus, member, authority, stranger, tmp_path):
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(authority.root.read_text())
    server = member(address(authority))
    pool = {"tls": {"ca_file": str(trusted)}, "health": QUICK, "retry": "off"}
    door = portunus(one_pool(server, pool, threads=1))
    door.wait_for_state(server.address, "up")
    assert door.get().status == 200
    assert len(server.requests) == 1

    def trust(other):
        fresh = tmp_path / "trusted.new"
        fresh.write_text(other.root.read_text())
        done = door.reloads_done()
        fresh.rename(trusted)
        wait_until(lambda: door.reloads_done() > done, "it counts for all threads")

    trust(stranger)
    door.wait_for_state(server.address, "down")
    # The connection that is kept was verified by rules that no longer hold.
    assert door.get().status == 503
    assert len(server.requests) == 1
    trust(authority)
    door.wait_for_state(server.address, "up")
    assert door.get().status == 200
    assert door.json("/v1/status")["config"]["last_reload_ok"]


def test_a_broken_file_of_authorities_changes_nothing(portunus, member, authority, tmp_path):
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(authority.root.read_text())
    server = member(address(authority))
    door = portunus(one_pool(server, {"tls": {"ca_file": str(trusted)}}))
    trusted.write_text("nothing of use\n")
    wait_until(lambda: not door.json("/v1/status")["config"]["last_reload_ok"], "the reload is refused")
    assert door.get().status == 200
    wait_for_log(door, "holds no certificate")


@smoke
def test_a_reload_keeps_connections_unless_tls_changes(portunus, member, authority):
    server = member(address(authority))
    config = one_pool(server, trusting(authority), threads=1)
    door = portunus(config)
    assert door.get().status == 200
    config["pools"]["web"]["timeouts"] = {"idle": "59s"}
    door.write(config)
    assert door.reload().returncode == 0
    assert door.get().status == 200
    assert [request.connection for request in server.requests] == [1, 1]
    config["pools"]["web"]["tls"]["server_name"] = "127.0.0.1"
    door.write(config)
    assert door.reload().returncode == 0
    assert door.get().status == 200
    assert [request.connection for request in server.requests] == [1, 1, 2]
    assert not server.handshakes[1].is_resumed
    del config["pools"]["web"]["tls"]
    door.write(config)
    assert door.reload().returncode == 0
    assert door.get().status == 502
    config["pools"]["web"].update(trusting(authority))
    door.write(config)
    assert door.reload().returncode == 0
    assert door.get().status == 200

"""Names and passwords of clients."""

import base64
import json
import shutil
import subprocess

import pytest

from support.door import BINARY, one_pool
from support.upstream import serve_requests
from support.waiting import SCALE, wait_until
from support.wire import chunked, get, head, post
from test_access_log import entries, with_log

smoke = pytest.mark.smoke
CURL = shutil.which("curl")
# Of `open sesame`; the second takes longer to compare.
HASH = "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy"
SLOW = "$2b$08$abcdefghijklmnopqrstuuvbcBqwD0vqGp5cw/xK4wy0Mtx9M8.Zy"
ECHO = serve_requests(lambda connection, request: connection.reply(200, request.body))


def with_password(*members, users=None, **auth):
    return one_pool(list(members), site={"basic_auth": {"users": users or {"alice": HASH}, **auth}})


def says(name="alice", password="open sesame"):
    return "Authorization: Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@smoke
def test_who_comes_in(portunus, upstream):
    member = upstream()
    door = portunus({**with_log(with_password(member, realm="Our shop", user_header="X-Remote-User")), "threads": 1})
    for fields in ([], [says(password="open, sesame")], [says(password="open, sesame")], [says("carol")], [says(), says()],
                   ["Authorization: Bearer x"]):
        response = door.get("/", *fields)
        assert response.status == 401, fields
        assert response.header("www-authenticate") == 'Basic realm="Our shop", charset="UTF-8"'
        assert b"rejected_credentials" in response.body
    assert member.requests == []
    for _ in range(2):
        assert door.get("/", says(), "X-Remote-User: root", "X_Remote_User: root", "X_Remote.User: root").status == 200
    for request in member.requests:
        assert "authorization" not in request.fields
        assert request.fields.all("x-remote-user") == ["alice"]
        assert not {"x_remote_user", "x_remote.user"} & {name.lower() for name, _ in request.fields.pairs}
    logged = entries(door, 8)
    assert [entry.get("user") for entry in logged] == [None] * 6 + ["alice"] * 2
    assert {entry["end_reason"] for entry in logged[:6]} == {"rejected_credentials"}
    assert "sesame" not in json.dumps(logged) + door.log_path.read_text()
    assert door.metric("portunus_http_requests_rejected_total", reason="rejected_credentials") == 6


@smoke
@pytest.mark.parametrize("size", [10, 60_000, 3_000_000])
def test_a_body_waits_until_the_password_is_known_to_be_right(portunus, upstream, size):
    door = portunus(with_password(upstream(ECHO), users={"alice": SLOW}))
    body = bytes(i % 251 for i in range(size))
    for _ in range(2):
        response = door.ask(post("/", body, says()))
        assert (response.status, response.body) == (200, body)


def test_a_client_that_waits_for_leave_is_told_before_its_body(portunus, upstream):
    def lets(connection):
        while (request := connection.read_head()) is not None:
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.read_body(request, until_end=False)
            connection.reply(200, request.body)

    door = portunus(with_password(upstream(lets)))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 1000", "Expect: 100-continue"))
        assert client.read_response().status == 401
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 4", "Expect: 100-continue", says()))
        assert client.read_response_head().status == 100
        client.send(b"word")
        assert client.read_response().body == b"word"


def test_a_route_without_a_password(portunus, upstream):
    config = with_password(upstream(), users={"alice": HASH})
    config["sites"]["*"] = {"basic_auth": config["sites"]["*"]["basic_auth"], "cors": ["https://app.example"],
                            "routes": [{"match": {"path": "/open"}, "basic_auth": "off", "pool": "web"}, {"pool": "web"}]}
    door = portunus(config)
    assert door.get("/open").status == 200
    assert door.get("/").status == 401
    asks = door.ask(get("/", "Origin: https://app.example", "Access-Control-Request-Method: GET", method="OPTIONS"))
    assert asks.status == 204, "browsers ask that without a password"
    refused = door.get("/", "Origin: https://app.example")
    assert (refused.status, refused.header("access-control-allow-origin")) == (401, "https://app.example")


def test_nobody_else_says_who_the_user_is(portunus, upstream):
    member = upstream()
    config = with_password(member, user_header="Remote-User")
    config["sites"]["*"] = {"basic_auth": config["sites"]["*"]["basic_auth"],
                            "routes": [{"match": {"path": "/open"}, "basic_auth": "off", "pool": "web"}, {"pool": "web"}]}
    door = portunus(config)
    assert door.get("/open", "Remote-User: root", "Remote_User: root").status == 200
    assert not {"remote-user", "remote_user"} & {name.lower() for name, _ in member.requests[0].fields.pairs}
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", says(), "Transfer-Encoding: chunked") + chunked(b"x", trailers=["Remote_User: root"]))
        assert client.read_response().status == 400


def replace(file, text):
    """In one step: an empty file would be taken for one without users."""
    fresh = file.with_name(file.name + ".new")
    fresh.write_text(text)
    fresh.rename(file)


def test_a_file_of_users_is_read_again(portunus, upstream, tmp_path):
    users = tmp_path / "users"
    users.write_text(f"# of the shop\nalice:{HASH}\n\nbob:{HASH}\n")
    door = portunus(with_password(upstream(), users=f"file:{users}"))
    assert [door.get("/", says(name)).status for name in ("alice", "bob", "carol")] == [200, 200, 401]
    replace(users, f"alice:{HASH}\ncarol:{HASH}\n")
    assert door.reload().returncode == 0
    assert [door.get("/", says(name)).status for name in ("alice", "bob", "carol")] == [200, 401, 200]
    replace(users, "alice:open sesame\n")
    refused = door.reload()
    assert refused.returncode != 0
    assert "sesame" not in refused.stdout + refused.stderr + door.log_path.read_text()
    assert door.get("/", says()).status == 200


def test_a_flood_of_wrong_passwords_keeps_nobody_out_who_is_in(portunus, upstream):
    door = portunus(with_password(upstream(), users={"alice": SLOW}, pass_credentials=True))
    assert door.get("/", says()).status == 200
    flood = [door.connect() for _ in range(400)]
    try:
        for number, client in enumerate(flood):
            client.send(get("/", says(password=str(number))))
        wait_until(lambda: door.metric("portunus_http_requests_rejected_total", reason="auth_busy") > 0, "there are too many")
        assert door.get("/", says()).status == 200
    finally:
        for client in flood:
            client.close()


@pytest.mark.skipif(not CURL, reason="curl is not installed")
def test_over_http2(portunus, upstream):
    door = portunus({**with_password(upstream(ECHO)), "front": {"protocols": ["h1", "h2"]}})
    for password, expected in (("wrong", "401 2"), ("open sesame", "200 2")):
        told = subprocess.run(
            [CURL, "--silent", "--http2-prior-knowledge", "--max-time", str(20 * SCALE), "--user", f"alice:{password}", "--data", "x" * 100_000,
             "--output", "/dev/null", "--write-out", "%{http_code} %{http_version}", f"http://127.0.0.1:{door.port}/"],
            capture_output=True, text=True, timeout=30 * SCALE, check=True)
        assert told.stdout == expected


def test_the_program_makes_a_hash(portunus, upstream):
    made = subprocess.run([BINARY, "password"], input="a new one\nand no more\n", capture_output=True, text=True, timeout=30, check=True)
    hash_, = made.stdout.split()
    door = portunus(with_password(upstream(), users={"bob": hash_}))
    assert [door.get("/", says("bob", password)).status for password in ("a new one", "a new two")] == [200, 401]
    empty = subprocess.run([BINARY, "password"], input="\n", capture_output=True, text=True, timeout=30, check=False)
    assert (empty.returncode, empty.stdout) == (1, "")

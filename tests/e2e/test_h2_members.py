"""Real servers as members that speak HTTP/2: nginx, Caddy, h2o and nghttpd, in the clear and over TLS."""

import os
import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import h2_servers
from support.certificates import Authority
from support.door import one_pool
from support.fixtures import Keeper
from support.tls_upstream import nginx as tls_nginx
from support.upstream import serve_requests
from support.waiting import SCALE, wait_until
from support.wire import get, post
from test_http2 import CURL, H2LOAD, NGHTTP, needs_curl, needs_h2load, needs_nghttp

LARGE = os.urandom(20_000_000)
SMALL = b"a small file\n" * 10
# h2load counts the end of its own connections as failures.
FRONT = {"front": {"protocols": ["h1", "h2"]}, "limits": {"requests_per_connection": 1_000_000_000}}


def echo(connection, asked):
    connection.reply(200, asked.body)


class Setting:
    """A member of one kind, and a door before it that clients reach by HTTP/1.1 and HTTP/2."""

    def __init__(self, keeper, kind, is_tls, **pool):
        self.kind = kind
        make, program = h2_servers.KINDS[kind]
        if not program or not os.access(program, os.X_OK):
            pytest.skip(f"{kind} is not installed")
        folder = keeper.folder
        self.echo = keeper.upstream(serve_requests(echo), record=False)
        authority = Authority(folder)
        files = authority.make("127.0.0.1") if is_tls else None
        self.member = keeper.keep(make(folder, self.echo.address, files))
        (folder / "www" / "small.txt").write_bytes(SMALL)
        (folder / "www" / "large.bin").write_bytes(LARGE)
        protocol = {"protocol": "h2", "tls": {"ca_file": str(authority.root)}} if is_tls else {"protocol": "h2c"}
        self.pool = {**protocol, **pool}
        self.door = keeper.portunus(self.config())

    def config(self, **pool):
        return one_pool(self.member, {**self.pool, **pool}, **FRONT)

    def url(self, path):
        return f"http://127.0.0.1:{self.door.port}{path}"


KINDS = [(kind, is_tls) for kind in h2_servers.KINDS for is_tls in (False, True)]


@pytest.fixture(scope="module", params=KINDS, ids=[f"{kind}-{'tls' if is_tls else 'plain'}" for kind, is_tls in KINDS])
def setting(request, tmp_path_factory):
    keeper = Keeper(tmp_path_factory.mktemp("members"))
    yield Setting(keeper, *request.param)
    keeper.close()


def curl(url, *options, text=None):
    result = subprocess.run(
        [CURL, "--silent", "--show-error", "--http2-prior-knowledge", "--max-time", str(20 * SCALE), *options, url],
        input=text, capture_output=True, timeout=30 * SCALE, check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def h2load(url, *options):
    result = subprocess.run([H2LOAD, *options, url], capture_output=True, text=True, timeout=50 * SCALE, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@contextmanager
def steady_load(url):
    """One run of h2load after the other, until the block ends; gives the list that their texts come to."""
    texts, is_over = [], threading.Event()

    def run():
        while not is_over.is_set():
            texts.append(h2load(url, "-n", "2000", "-c", "4", "-m", "20"))

    with ThreadPoolExecutor() as threads:
        runs = threads.submit(run)
        try:
            yield texts
        finally:
            is_over.set()
        runs.result()


# ---- one by one


def test_files(setting):
    door = setting.door
    response = door.get("/small.txt")
    assert (response.status, response.body) == (200, SMALL)
    assert response.header("content-length") == str(len(SMALL))
    assert door.get("/large.bin").body == LARGE
    for _ in range(20):
        assert door.get("/small.txt").body == SMALL


def test_it_is_asked_by_http2(setting):
    if setting.kind == "h2o":
        setting.door.get("/small.txt")
        log = Path(setting.member.folder) / f"h2o-{setting.member.port}.access"
        wait_until(lambda: "HTTP/2" in log.read_text(), "it has logged the request")
        assert "HTTP/1" not in log.read_text()
    elif setting.kind != "nghttpd":  # which speaks nothing else
        assert setting.door.get("/proto").body.strip() == b"HTTP/2.0"


def test_answers_without_a_body(setting):
    door = setting.door
    whole = door.get("/small.txt")
    with door.connect() as client:  # one after the other on a connection: nothing is left between them
        client.send(get("/small.txt", method="HEAD"))
        head = client.read_response("HEAD")
        assert (head.status, head.body, head.header("content-length")) == (200, b"", str(len(SMALL)))
        client.send(get("/small.txt", f"If-Modified-Since: {whole.header('last-modified')}"))
        response = client.read_response()
        assert (response.status, response.body) == (304, b"")
        client.send(get("/missing"))
        assert client.read_response().status == 404
        if setting.kind != "nghttpd":  # which sends a page with it
            client.send(get("/missing", method="HEAD"))
            assert client.read_response("HEAD").status == 404
        client.send(get("/small.txt"))
        assert client.read_response().body == SMALL


def test_bodies_come_back(setting):
    body = os.urandom(5_000_000)
    assert setting.door.ask(post("/echo/", body), "POST").body == body
    assert setting.door.ask(post("/echo/", b""), "POST").body == b""
    if CURL:  # of unknown length
        assert curl(setting.url("/echo/"), "--data-binary", "@-", "-X", "POST", text=body) == body
        assert curl(setting.url("/echo/"), "--http1.1", "-X", "POST", "--upload-file", "-", text=body) == body


@needs_h2load
@pytest.mark.parametrize("path, count", [("/small.txt", 2000), ("/large.bin", 30)])
def test_a_hundred_at_once(setting, path, count):
    text = h2load(setting.url(path), "-n", str(count), "-c", "2", "-m", "50")
    assert f"{count} succeeded, 0 failed, 0 errored, 0 timeout" in text, text


def test_uploads_at_once(setting):
    bodies = [os.urandom(300_000 + number) for number in range(20)]
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda body: setting.door.ask(post("/echo/", body), "POST").body, bodies))
    assert answers == bodies


@needs_curl
def test_slow_readers_beside_others(setting):
    """One stream that is not read holds back none of the connection's others."""
    door = setting.door
    with door.connect(receive_buffer=8192) as slow:
        slow.send(get("/large.bin"))
        wait_until(lambda: door.metric("portunus_http_requests_in_flight") >= 1, "it is on its way")
        for _ in range(20):
            assert door.get("/small.txt").body == SMALL
        assert door.get("/large.bin").body == LARGE
        assert slow.read_response().body == LARGE


def test_who_leaves_ends_only_what_was_theirs(setting):
    door = setting.door
    for _ in range(10):
        with door.connect(receive_buffer=8192) as leaver:
            leaver.send(get("/large.bin"))
            leaver.read_exactly(1000)
    wait_until(lambda: door.metric("portunus_http_requests_in_flight") == 0, "they have gone")
    assert door.get("/large.bin").body == LARGE


# ---- what only some can


@needs_nghttp
def test_trailers_of_nghttpd(keeper):
    setting = Setting(keeper, "nghttpd", False)
    result = subprocess.run([NGHTTP, "-v", setting.url("/small.txt")], capture_output=True, text=True, timeout=20,
                            check=True)
    assert re.search(r"recv DATA.*recv \(stream_id=\d+\) x-sum: 42.*END_STREAM", result.stdout, re.S), result.stdout


def with_nginx(keeper, count=1, pool=None, **options):
    upstream = keeper.upstream(serve_requests(echo), record=False)
    members = [keeper.keep(h2_servers.nginx(keeper.folder, upstream.address, **options)) for _ in range(count)]
    (keeper.folder / "www" / "small.txt").write_bytes(SMALL)
    door = keeper.portunus(one_pool(members, {"protocol": "h2c", **(pool or {})}, **FRONT))
    return door, members


def workers_of(member):
    pid = member.process.pid
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


@needs_h2load
def test_a_reload_of_nginx_under_load(keeper):
    """Its old worker says GOAWAY; no request fails."""
    door, (member,) = with_nginx(keeper)
    with steady_load(f"http://127.0.0.1:{door.port}/small.txt") as texts:
        for number in range(4):
            before = workers_of(member)
            done = door.metric("portunus_http_requests_total")
            wait_until(lambda: door.metric("portunus_http_requests_total") > done + 500, "requests flow")
            member.reload()
            wait_until(lambda: not before & workers_of(member) and workers_of(member), f"reload {number}")
    assert all("2000 succeeded, 0 failed, 0 errored, 0 timeout" in text for text in texts), texts


@needs_h2load
@pytest.mark.parametrize("is_post", [False, True])
def test_connections_that_nginx_ends_after_some_requests(keeper, is_post):
    """GOAWAY after every 50th request. What nginx has not looked at is sent again, whatever it is, with its body."""
    door, _ = with_nginx(keeper, requests=50)
    body = keeper.folder / "body"
    body.write_bytes(b"x" * 1000)
    options = ["-d", str(body)] if is_post else []
    url = f"http://127.0.0.1:{door.port}{'/echo/' if is_post else '/small.txt'}"
    text = h2load(url, "-n", "3000", "-c", "4", "-m", "20", *options)
    assert "3000 succeeded, 0 failed, 0 errored, 0 timeout" in text, text


@needs_h2load
def test_few_streams_to_a_connection(keeper):
    door, _ = with_nginx(keeper, streams=3)
    text = h2load(f"http://127.0.0.1:{door.port}/small.txt", "-n", "2000", "-c", "2", "-m", "50")
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in text, text


@needs_h2load
def test_one_nginx_of_three_dies_under_load(keeper):
    door, members = with_nginx(keeper, 3)
    with steady_load(f"http://127.0.0.1:{door.port}/small.txt") as texts:
        wait_until(lambda: door.metric("portunus_http_requests_total") > 500, "requests flow")
        workers = workers_of(members[0])
        members[0].kill()  # the master
        for pid in workers:
            os.kill(int(pid), 9)
        done = door.metric("portunus_http_requests_total")
        wait_until(lambda: door.metric("portunus_http_requests_total") > done + 2000, "requests flow without it")
    # What had begun to be answered cannot be sent again, and is cut.
    failed, errored = (sum(int(re.search(rf"(\d+) {word}", text)[1]) for text in texts) for word in ("failed", "errored"))
    assert failed == errored <= 4 * 20 and all(" 0 timeout" in text and " 0 4xx, 0 5xx" in text for text in texts), texts


def members_metric(door, name, **labels):
    return door.metric(f"portunus_upstream_{name}", pool="web", **labels)


def test_an_upload_that_nginx_refuses(keeper):
    """Its answer comes before the request's end, and ends the stream; the connection goes on."""
    door, (member,) = with_nginx(keeper, body="1k")
    for _ in range(5):
        with door.connect() as client:
            client.send(post("/echo/", bytes(3_000_000))[:100_000])
            assert client.read_response().status == 413
    assert door.get("/small.txt").body == SMALL
    wait_until(lambda: members_metric(door, "requests_in_flight") == 0, "nothing is left")
    wait_until(lambda: members_metric(door, "connections") <= 2, "one connection of each thread")


@needs_h2load
def test_few_requests_at_a_time(keeper):
    """The pool's own limit, on a connection that could take more."""
    door, _ = with_nginx(keeper, pool={"max_connections_per_upstream": 3})
    text = h2load(f"http://127.0.0.1:{door.port}/small.txt", "-n", "1000", "-c", "2", "-m", "50")
    assert "1000 succeeded, 0 failed, 0 errored, 0 timeout" in text, text


def test_unused_connections_are_closed(keeper):
    door, _ = with_nginx(keeper, pool={"timeouts": {"idle": "300ms"}})
    assert door.get("/small.txt").body == SMALL
    wait_until(lambda: members_metric(door, "connections") == 0, "it is closed")
    assert door.get("/small.txt").body == SMALL
    wait_until(lambda: members_metric(door, "phase_duration_seconds_count", phase="connect") == 2, "one for each request")


def test_requests_share_connections(keeper):
    """Of each thread one, however many requests there are at a time."""
    door, _ = with_nginx(keeper)
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: door.get("/small.txt").body, range(200)))
    assert answers == [SMALL] * 200
    assert 1 <= members_metric(door, "connections") <= 2


@needs_h2load
def test_a_pool_that_learns_http2(keeper):
    """And forgets it, by reloads under load."""
    setting = Setting(keeper, "nginx", True)
    door = setting.door
    configs = [setting.config(protocol=protocol) for protocol in ("h1", "h2")]
    with steady_load(f"http://127.0.0.1:{door.port}/proto") as texts:
        for number in range(6):
            door.write(configs[number % 2])
            assert door.reload().returncode == 0
            wanted = [b"HTTP/1.1", b"HTTP/2.0"][number % 2]
            wait_until(lambda: door.get("/proto").body.strip() == wanted, "the members are asked so")
    assert all("2000 succeeded, 0 failed, 0 errored, 0 timeout" in text for text in texts), texts


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_member_that_speaks_http1_only(keeper, is_tls):
    authority = Authority(keeper.folder)
    if is_tls:
        member = keeper.keep(tls_nginx(keeper.folder, authority.make("127.0.0.1")))
        pool = {"protocol": "h2", "tls": {"ca_file": str(authority.root)}}
    else:
        member, pool = keeper.nginx(), {"protocol": "h2c"}
    door = keeper.portunus(one_pool(member, {**pool, "retry": "off"}))
    for _ in range(3):
        response = door.get("/hello")
        assert response.status == 502
        assert (b"upstream_tls" if is_tls else b"upstream_protocol") in response.body, response.body


def test_websockets_find_nobody(keeper):
    """An upgrade does not go over HTTP/2: the member sees a plain request."""
    door, _ = with_nginx(keeper)
    with door.connect() as client:
        client.send(get("/small.txt", "Upgrade: websocket", "Connection: Upgrade",
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"))
        assert client.read_response().status == 200

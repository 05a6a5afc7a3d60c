"""The PROXY protocol: who the client is, said by load balancers in front, and to members behind."""

import contextlib
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess

import pytest

from support import servers
from support.certificates import Authority
from support.door import one_pool
from support.ports import free_port
from support.waiting import PATIENCE, wait_until
from support.wire import connect, get

smoke = pytest.mark.smoke

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
CURL = shutil.which("curl")
TRUSTED = {"proxy_protocol": {"trusted": ["127.0.0.1"]}}
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 443\r\n"


def binary(source="192.0.2.7", port=4711, command=1, extras=b""):
    if command == 0:
        return SIGNATURE + bytes([0x20, 0]) + struct.pack(">H", len(extras)) + extras
    six = ":" in source
    family = socket.AF_INET6 if six else socket.AF_INET
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, "2001:db8::9" if six else "198.51.100.9")
    rest = addresses + struct.pack(">HH", port, 443) + extras
    return SIGNATURE + bytes([0x21, 0x21 if six else 0x11]) + struct.pack(">H", len(rest)) + rest


def trusting(member, front=None, **root):
    return one_pool(member, front={**TRUSTED, **(front or {})}, **root)


def ask(door, *pieces):
    """One connection; each piece in a packet of its own, as far as that can be arranged."""
    with door.connect() as client:
        for piece in pieces:
            client.send(piece)
        return client.read_response()


def is_closed_without_an_answer(port, data):
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain:
        plain.sendall(data)
        try:
            return plain.recv(1000) == b""
        except ConnectionResetError:
            return True


def rejected(door, reason):
    return door.metric("portunus_connections_rejected_total", reason=reason)


# ---- in


@smoke
@pytest.mark.parametrize("header, client", [
    (LINE, ("192.0.2.7", 4711)),
    (binary(), ("192.0.2.7", 4711)),
    (binary("2001:db8::7"), ("2001:db8::7", 4711)),
    (binary(extras=b"\x04\x00\x03abc"), ("192.0.2.7", 4711)),
    (b"PROXY UNKNOWN\r\n", ("127.0.0.1", None)),
    (binary(command=0), ("127.0.0.1", None)),
])
def test_the_header_names_the_client(portunus, upstream, header, client):
    member = upstream()
    door = portunus(trusting(member, access_log={"output": "stdout"}, forwarded_header=True))
    assert ask(door, header + get("/")).status == 200
    address, port = client
    fields = member.requests[-1].fields
    assert fields.get("x-forwarded-for") == fields.get("x-real-ip") == address
    quoted = f'"[{address}]"' if ":" in address else address
    assert fields.get("forwarded").startswith(f"for={quoted};")
    line = json.loads(wait_until(lambda: door.output().strip(), "the access log"))
    assert (line["client_ip"], line["peer_ip"]) == (address, "127.0.0.1")
    assert port is None or line["client_port"] == port


@smoke
def test_pieces_and_several_requests(portunus, upstream):
    member = upstream()
    door = portunus(trusting(member))
    for cut in (1, 6, 13, 20, len(LINE) - 1):
        assert ask(door, LINE[:cut], LINE[cut:] + get("/")).status == 200
    header = binary()
    for cut in (1, 12, 13, 16, len(header) - 1):
        assert ask(door, header[:cut], header[cut:], get("/")).status == 200
    with door.connect() as client:
        client.send(LINE + get("/1") + get("/2"))
        assert [client.read_response().status for _ in range(2)] == [200, 200]
    assert {request.header("x-real-ip") for request in member.requests} == {"192.0.2.7"}


@smoke
def test_a_trusted_peer_has_to_say(portunus, upstream):
    member = upstream()
    door = portunus(trusting(member))
    hasty = portunus(trusting(member, timeouts={"headers": "300ms"}))  # for those alone that take their time
    for wrong in (get("/"), LINE.replace(b"4711", b"70000") + get("/"), b"PROXY TCP4 " + b"1" * 200,
                  SIGNATURE + b"\x31\x11\x00\x00" + get("/"),
                  SIGNATURE + b"\x21\x11\xff\xff" + get("/"), LINE[:-2] + b"\n" + get("/")):
        assert is_closed_without_an_answer(door.port, wrong), wrong
    assert rejected(door, "proxy_header") == 6
    assert is_closed_without_an_answer(hasty.port, LINE[:20])
    assert is_closed_without_an_answer(hasty.port, b"")
    assert (rejected(hasty, "proxy_header"), rejected(hasty, "proxy_header_timeout")) == (0, 2)
    socket.create_connection(("127.0.0.1", door.port), timeout=PATIENCE).close()  # a look whether we listen
    assert ask(door, LINE + get("/")).status == 200
    assert (rejected(door, "proxy_header"), rejected(door, "proxy_header_timeout")) == (6, 0)
    assert len(member.requests) == 1


@smoke
def test_nobody_else_is_believed(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member, front={"proxy_protocol": {"trusted": ["192.0.2.0/24"]}}))
    for header in (LINE, binary(), binary(command=0)):
        assert ask(door, header + get("/")).status in (400, 501)  # PROXY would be a method
    assert not member.requests
    assert door.get("/").status == 200
    assert member.requests[-1].header("x-real-ip") == "127.0.0.1"


def test_trusted_proxies_are_those_of_the_header(portunus, upstream):
    """A cache in front of the load balancer: the header names the cache, whose word counts for the client's."""
    member = upstream()
    door = portunus(trusting(member, trusted_proxies=["192.0.2.7"], access_log={"output": "stdout"}))
    said = get("/", "X-Forwarded-For: 203.0.113.5")
    assert ask(door, LINE + said).status == 200
    assert member.requests[-1].header("x-forwarded-for") == "203.0.113.5, 192.0.2.7"
    assert ask(door, LINE.replace(b"192.0.2.7", b"192.0.2.8") + said).status == 200
    assert member.requests[-1].header("x-forwarded-for") == "192.0.2.8"
    lines = wait_until(lambda: len(door.output().splitlines()) == 2 and door.output().splitlines(), "two lines")
    assert {json.loads(line)["client_ip"] for line in lines} == {"203.0.113.5", "192.0.2.8"}


def test_changes_of_who_is_trusted(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member))
    assert door.get("/").status == 200
    door.write(trusting(member))
    assert door.reload().returncode == 0
    assert is_closed_without_an_answer(door.port, get("/"))
    assert ask(door, LINE + get("/")).status == 200
    door.write(one_pool(member))
    assert door.reload().returncode == 0
    assert door.get("/").status == 200
    assert ask(door, LINE + get("/")).status == 501


def secure(tmp_path, member, port):
    authority = Authority(tmp_path)
    listener = {"address": f"127.0.0.1:{port}", "tls": True, **TRUSTED}
    config = {"listeners": {"front": listener}, "sites": {"a.example": {"pool": "web", "tls": authority.make("a.example")}},
              "pools": {"web": {"upstreams": [member.address], "health": "off"}}}
    return authority, config


class Prefixed:
    """A socket whose first write takes a header along, in the same packet."""

    def __init__(self, port, context, header, pieces=1):
        self.plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out, server_hostname="a.example")
        self.first, self.pieces = header, pieces

    def push(self):
        data, self.first = self.first + self.out.read(), b""
        step = max(1, len(data) // self.pieces)
        for at in range(0, len(data), step):
            self.plain.sendall(data[at:at + step])
        self.pieces = 1

    def wait(self, action):
        while True:
            try:
                result = action()
                self.push()
                return result
            except ssl.SSLWantReadError:
                self.push()
                data = self.plain.recv(65536)
                if not data:
                    raise ConnectionResetError("closed")
                self.into.write(data)

    def ask(self):
        self.wait(self.tls.do_handshake)
        self.wait(lambda: self.tls.write(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"))
        answer = self.wait(lambda: self.tls.read(65536))
        self.plain.close()
        return answer


@smoke
def test_in_front_of_tls(portunus, upstream, tmp_path):
    member, port = upstream(), free_port()
    authority, config = secure(tmp_path, member, port)
    door = portunus(config)
    context = authority.client()
    for pieces in (1, 2, 7, 100):  # with the ClientHello in one packet, and cut anywhere
        for header in (LINE, binary()):
            assert Prefixed(port, context, header, pieces).ask().startswith(b"HTTP/1.1 200"), pieces
            assert member.requests[-1].header("x-real-ip") == "192.0.2.7"
    with pytest.raises(OSError):
        Prefixed(port, context, b"").ask()
    assert rejected(door, "proxy_header") == 1
    assert door.metric("portunus_tls_handshakes_total", result="ok") == 8


# ---- real load balancers and clients


@smoke
@pytest.mark.skipif(not CURL, reason="curl is not installed")
def test_curl(portunus, upstream):
    member = upstream()
    door = portunus(trusting(member))
    result = subprocess.run([CURL, "-sS", "--haproxy-protocol", "-o", os.devnull, "-w", "%{http_code} %{local_port}",
                             f"http://127.0.0.1:{door.port}/"], capture_output=True, text=True, timeout=PATIENCE,
                            check=True)
    assert result.stdout.startswith("200 ")
    assert member.requests[-1].header("x-real-ip") == "127.0.0.1"


HAPROXY_FILE = """
global
  maxconn 100
defaults
  mode tcp
  timeout connect 5s
  timeout client 10s
  timeout server 10s
listen front
  bind 127.0.0.1:{front}{accept}
  server door 127.0.0.1:{port} {send}
"""


@contextlib.contextmanager
def haproxy(folder, port, send, accept=""):
    front = free_port()
    file = folder / f"haproxy-{front}.cfg"
    file.write_text(HAPROXY_FILE.format(front=front, port=port, send=send, accept=accept))
    server = servers.Server([HAPROXY, "-db", "-f", str(file)], front, folder)
    try:
        yield front
    finally:
        server.close()


@pytest.mark.skipif(not os.access(HAPROXY, os.X_OK), reason="haproxy is not installed")
@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2",
                                  "send-proxy-v2 proxy-v2-options crc32c,unique-id",
                                  "send-proxy-v2 check check-send-proxy inter 100ms"])
def test_behind_haproxy(portunus, upstream, tmp_path, send):
    member = upstream()
    door = portunus(trusting(member, access_log={"output": "stdout"}))
    with haproxy(tmp_path, door.port, send) as front:
        with connect(front) as client:
            client.send(get("/", "Connection: close"))
            assert client.read_response().status == 200
            port = client.sock.getsockname()[1]
        if "check" in send:  # haproxy's own probes say LOCAL, and are no faults
            before = door.metric("portunus_connections_total")
            wait_until(lambda: door.metric("portunus_connections_total") >= before + 3, "three probes")
    assert rejected(door, "proxy_header") == 0
    line = json.loads(wait_until(lambda: door.output().strip(), "the access log").splitlines()[0])
    assert (line["client_ip"], line["client_port"]) == ("127.0.0.1", port)


# ---- out


def read_line(connection):
    """The header of version 1 in front of a request."""
    line = b""
    while not line.endswith(b"\r\n"):
        byte = connection.sock.recv(1)
        if not byte:
            return None
        line += byte
    return line


def introduced(requests):
    """A script of a member that wants a header of version 1; notes (header, requests on that connection)."""

    def script(connection):
        line = read_line(connection)
        entry = [line, 0]
        requests.append(entry)
        while line is not None and connection.read_request() is not None:
            entry[1] += 1
            connection.reply()

    return script


@smoke
def test_members_are_told(portunus, keeper):
    seen = []
    member = keeper.upstream(introduced(seen))
    door = portunus(one_pool(member, pool={"proxy_protocol": "v1"}))
    with door.connect() as client:
        port = client.sock.getsockname()[1]
        for _ in range(3):
            client.send(get("/"))
            assert client.read_response().status == 200
    line = f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {door.port}\r\n".encode()
    assert seen == [[line, 1]] * 3  # a connection each: none is kept for another request


def test_clients_are_not_mixed_up(portunus, keeper):
    """Many clients at once over members that answer slowly: each request comes with its own client's address."""
    seen = []

    def script(connection):
        line = read_line(connection)
        while line is not None and (request := connection.read_request()) is not None:
            seen.append((line.split()[4], request.header("x-port")))
            connection.reply()

    member = keeper.upstream(script)
    door = portunus(one_pool(member, pool={"proxy_protocol": "v1"}))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(door.connect()) for _ in range(20)]
        for _ in range(5):
            for client in clients:
                client.send(get("/", f"X-Port: {client.sock.getsockname()[1]}"))
            for client in clients:
                assert client.read_response().status == 200
    assert len(seen) == 100
    assert all(header.decode() == port for header, port in seen)


def test_what_was_said_is_passed_on(portunus, keeper):
    seen = []
    member = keeper.upstream(introduced(seen))
    door = portunus(trusting(member, pool={"proxy_protocol": "v1"}, trusted_proxies=["192.0.2.8"]))
    assert ask(door, LINE + get("/")).status == 200
    assert ask(door, LINE.replace(b"192.0.2.7", b"192.0.2.8") + get("/", "X-Forwarded-For: 203.0.113.5")).status == 200
    assert ask(door, binary("2001:db8::7") + get("/")).status == 200
    assert [line for line, _ in seen] == [LINE, b"PROXY TCP4 203.0.113.5 198.51.100.9 0 443\r\n",
                                          b"PROXY TCP6 2001:db8::7 2001:db8::9 4711 443\r\n"]


NGINX_FILE = """
daemon off; master_process off; worker_processes 1; pid {folder}/n.pid; error_log {folder}/n.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/n-body;
  server {{
    listen 127.0.0.1:{port} proxy_protocol;
    location / {{ return 200 "$proxy_protocol_addr $proxy_protocol_port\\n"; }}
  }}
}}
"""


@pytest.mark.skipif(not os.access(servers.NGINX, os.X_OK), reason="nginx is not installed")
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("health", [{"tcp": True}, {"path": "/"}])
def test_nginx_as_a_member(portunus, keeper, version, health):
    port = free_port()
    file = keeper.folder / "n.conf"
    file.write_text(NGINX_FILE.format(folder=keeper.folder, port=port))
    log = keeper.folder / "n.log"
    keeper.keep(servers.Server([servers.NGINX, "-p", str(keeper.folder), "-c", str(file), "-e", str(log)], port,
                               keeper.folder))
    address = f"127.0.0.1:{port}"
    door = portunus(one_pool(address, pool={"proxy_protocol": version, "health": {**health, "interval": "50ms",
                                                                                  "timeout": "2s"}}))
    door.wait_for_state(address, "up")
    with door.connect() as client:
        client.send(get("/"))
        own = client.sock.getsockname()
        assert client.read_response().body.decode() == f"{own[0]} {own[1]}\n"
    probes = door.metric("portunus_health_checks_total")
    wait_until(lambda: door.metric("portunus_health_checks_total") > probes + 3, "more probes")
    assert door.metric("portunus_health_checks_total", result="fail") == 0
    assert "broken header" not in log.read_text()


@pytest.mark.skipif(not os.access(HAPROXY, os.X_OK), reason="haproxy is not installed")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_as_a_member(portunus, keeper, version):
    seen = []
    behind = keeper.upstream(introduced(seen))  # haproxy tells it again what it has understood
    with haproxy(keeper.folder, behind.port, "send-proxy", " accept-proxy") as front:
        door = portunus(one_pool(f"127.0.0.1:{front}", pool={"proxy_protocol": version}))
        with door.connect() as client:
            client.send(get("/"))
            assert client.read_response().status == 200
            port = client.sock.getsockname()[1]
    assert [line for line, count in seen if count] == [
        f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {door.port}\r\n".encode()]


def test_probes_are_nobodys(portunus, keeper):
    seen = []
    member = keeper.upstream(introduced(seen))
    portunus(one_pool(member, pool={"proxy_protocol": "v1", "health": {"path": "/health", "interval": "50ms"}}))
    wait_until(lambda: len([line for line, count in seen if count]) >= 3, "three probes")
    assert {line for line, count in seen if count} == {b"PROXY UNKNOWN\r\n"}


def test_websockets_of_introduced_clients(portunus, keeper):
    def script(connection):
        line = read_line(connection)
        if line is None:
            return
        request = connection.read_head()
        assert request.header("connection").lower() == "upgrade" and request.header("upgrade") == "echo"
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        while data := connection.sock.recv(1000):
            connection.send(data)

    door = portunus(one_pool(keeper.upstream(script), pool={"proxy_protocol": "v1"}))
    with door.connect() as client:
        client.send(get("/", "Connection: upgrade", "Upgrade: echo"))
        assert client.read_response().status == 101
        client.send(b"ping")
        assert client.sock.recv(1000) == b"ping"

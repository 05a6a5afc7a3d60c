"""Clients of TLS that take their time: handshakes that never end, and records of one byte."""

import socket
import ssl

from support.certificates import Authority, ask, open_tls
from support.ports import free_port
from support.waiting import PATIENCE, SCALE, wait_until
from support.wire import get


def start(portunus, authority, **root):
    port = free_port()
    door = portunus({
        "listeners": {"secure": {"address": f"127.0.0.1:{port}", "tls": True, "protocols": "h1"}},
        "sites": {"a.example": {"respond": {"body": "served"}, "tls": authority.make("a.example")}},
        **root,
    })
    return door, port


def first_message(context):
    """What a client begins with: one record."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(into, out, server_hostname="a.example")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def test_handshakes_that_do_not_end(portunus, tmp_path):
    authority = Authority(tmp_path)
    door, port = start(portunus, authority, timeouts={"headers": f"{4 * SCALE}s"})
    hello = first_message(authority.client())
    clients = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) for _ in range(4)]
    for client, begun in zip(clients, (b"", hello[:3], hello[:-1], hello)):
        client.sendall(begun)
    assert ask(port, authority.client(), "a.example")[2] == b"served", "nobody waits for them"
    for client in clients:
        try:
            while client.recv(65536):
                pass
        except ConnectionResetError:
            pass
        client.close()
    wait_until(lambda: door.metric("portunus_tls_handshakes_total", result="timeout") == 4, "they are counted")


def test_a_first_message_in_records_of_one_byte(portunus, tmp_path):
    """OpenSSL puts it together, or refuses it: the connection ends by the same time-out, and others are served."""
    authority = Authority(tmp_path)
    door, port = start(portunus, authority, timeouts={"headers": f"{4 * SCALE}s"})
    hello = first_message(authority.client())
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(b"".join(hello[:3] + b"\x00\x01" + bytes([each]) for each in hello[5:]))
        try:
            while client.recv(65536):
                pass
        except ConnectionResetError:
            pass
    assert ask(port, authority.client(), "a.example")[2] == b"served"
    wait_until(lambda: door.metric("portunus_tls_handshakes_total") == 2, "both are counted")


def test_a_request_in_records_of_one_byte(portunus, tmp_path):
    authority = Authority(tmp_path)
    _, port = start(portunus, authority)
    with open_tls(port, authority.client(), "a.example") as client:
        for each in get("/", host="a.example"):
            client.sendall(bytes([each]))
        assert client.recv(65536).startswith(b"HTTP/1.1 200")

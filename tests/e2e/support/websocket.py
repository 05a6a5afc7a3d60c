"""WebSocket frames by hand (RFC 6455), enough to talk through a tunnel."""

import base64
import hashlib
import os

from .wire import get

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE = 0x1, 0x8


def accept_value(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def frame(payload, opcode=TEXT, masked=False):
    length = len(payload)
    mask_bit = 0x80 if masked else 0
    if length < 126:
        start = bytes([0x80 | opcode, mask_bit | length])
    elif length < 65536:
        start = bytes([0x80 | opcode, mask_bit | 126]) + length.to_bytes(2, "big")
    else:
        start = bytes([0x80 | opcode, mask_bit | 127]) + length.to_bytes(8, "big")
    if not masked:
        return start + payload
    key = os.urandom(4)
    return start + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def read_frame(connection):
    """(opcode, payload)"""
    first, second = connection.read_exactly(2)
    length = second & 0x7F
    if length >= 126:
        length = int.from_bytes(connection.read_exactly(2 if length == 126 else 8), "big")
    key = connection.read_exactly(4) if second & 0x80 else bytes(4)
    payload = connection.read_exactly(length)
    return first & 0x0F, bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def open_websocket(connection, path="/ws"):
    """The client's handshake, checked."""
    key = base64.b64encode(os.urandom(16)).decode()
    connection.send(get(path, "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}",
                        "Sec-WebSocket-Version: 13"))
    response = connection.read_response()
    assert response.status == 101, response
    assert response.header("upgrade").lower() == "websocket", response
    assert "upgrade" in response.header("connection").lower(), response
    assert response.header("sec-websocket-accept") == accept_value(key), response


def accept_websocket(connection, request):
    """The server's side of the handshake."""
    connection.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept_value(request.header('sec-websocket-key'))}\r\n\r\n".encode()
    )


def echo(connection):
    """A script for an upstream: echoes frames until a close frame."""
    request = connection.read_request()
    if request is None:
        return
    if request.header("upgrade", "").lower() != "websocket":
        connection.reply()
        return
    accept_websocket(connection, request)
    connection.patience = 3600
    while True:
        opcode, payload = read_frame(connection)
        connection.send(frame(payload, opcode))
        if opcode == CLOSE:
            return

"""HTTP/2 frames by hand, as far as a test needs them: heads go out as HPACK literals, and come back unread."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def hpack(fields):
    out = b""
    for name, value in fields:
        assert len(name) < 127 and len(value) < 127
        out += b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return out


def request(stream, *fields, end=True, path="/", method="GET"):
    head = [(":method", method), (":scheme", "http"), (":authority", "test.local"), (":path", path), *fields]
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, hpack(head))


class Http2:
    """On a connected client of support/wire.py."""

    def __init__(self, client):
        self.client = client
        client.send(PREFACE + frame(SETTINGS, 0, 0))
        self.next(SETTINGS)

    def send(self, *frames):
        self.client.send(b"".join(frames))

    def next(self, *kinds):
        """The next frame of these kinds: kind, flags, stream, payload."""
        while True:
            head = self.client.read_exactly(9)
            size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            payload = self.client.read_exactly(size)
            if kind in kinds:
                return kind, flags, int.from_bytes(head[5:], "big"), payload

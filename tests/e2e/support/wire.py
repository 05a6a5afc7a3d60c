"""HTTP/1.1 by hand, strictly: what does not parse here is a fault of the sender, never repaired."""

import re
import socket
import struct
import time

from .waiting import PATIENCE, NotInTime

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)\Z")
REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/(1\.[01])\Z")
LINE_MAX = 1 << 20


class WireError(AssertionError):
    """The peer broke the grammar."""


class Truncated(WireError):
    """The stream ended in the middle of a message."""


class Fields:
    """Header fields in their order, names in lower case."""

    def __init__(self, pairs):
        self.pairs = pairs

    def all(self, name):
        return [value for key, value in self.pairs if key == name.lower()]

    def get(self, name, default=None):
        """The only value of that name."""
        values = self.all(name)
        assert len(values) < 2, f"several {name}: {values}"
        return values[0] if values else default

    def __contains__(self, name):
        return bool(self.all(name))

    def __repr__(self):
        return repr(self.pairs)


class Message:
    def __init__(self, fields):
        self.fields = fields
        self.body = b""
        self.trailers = Fields([])
        self.chunks = None  # sizes, when it was chunked
        self.interim = []  # 1xx before a response

    def header(self, name, default=None):
        return self.fields.get(name, default)


class Request(Message):
    def __init__(self, method, target, version, fields):
        super().__init__(fields)
        self.method, self.target, self.version = method, target, version

    def __repr__(self):
        return f"<{self.method} {self.target} {self.fields} {self.body[:200]!r}>"


class Response(Message):
    def __init__(self, status, reason, fields):
        super().__init__(fields)
        self.status, self.reason = status, reason

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.fields} {self.body[:200]!r}>"


class Connection:
    """A socket with a read buffer. Every read has a deadline."""

    def __init__(self, sock, patience=PATIENCE):
        self.sock = sock
        self.patience = patience
        self.buffer = b""
        self.is_ended = False  # the peer has ended its direction
        self.was_reset = False
        self.on_received = None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # ---- raw

    def send(self, data):
        self.sock.settimeout(self.patience)
        self.sock.sendall(data)

    def try_send(self, data):
        """False when the peer has closed."""
        try:
            self.send(data)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            return False
        return True

    def fill(self, limit=65536):
        """Reads once; False at the end of the stream or after a reset."""
        if self.is_ended:
            return False
        self.sock.settimeout(self.patience)
        try:
            data = self.sock.recv(limit)
        except TimeoutError:
            raise NotInTime(f"no byte within {self.patience:g} s, so far {self.buffer[:300]!r}") from None
        except OSError:
            self.was_reset = True
            data = b""
        if not data:
            self.is_ended = True
            return False
        if self.on_received:
            self.on_received(data)
        self.buffer += data
        return True

    def read_some(self):
        """What has come, at least a byte; empty at the end."""
        if not self.buffer:
            self.fill()
        data, self.buffer = self.buffer, b""
        return data

    def read_exactly(self, count):
        parts, missing = [], count
        while missing:
            if not self.buffer and not self.fill():
                raise Truncated(f"the stream ended {missing} bytes too early")
            part, self.buffer = self.buffer[:missing], self.buffer[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def read_until_end(self):
        parts = [self.buffer]
        self.buffer = b""
        while self.fill():
            parts.append(self.buffer)
            self.buffer = b""
        return b"".join(parts)

    def expect_end(self):
        """The peer closes, and sends nothing more before."""
        rest = self.read_until_end()
        assert rest == b"", f"expected a close, got {rest[:500]!r}"

    def expect_silence(self, seconds):
        """Nothing comes, and the connection stays open."""
        assert self.buffer == b"", f"expected nothing, got {self.buffer[:500]!r}"
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(1)
        except TimeoutError:
            return
        raise AssertionError(f"expected nothing, got {data!r}")

    def end_writing(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- messages

    def read_line(self):
        end = time.monotonic() + self.patience
        while b"\n" not in self.buffer:
            if len(self.buffer) > LINE_MAX:
                raise WireError("endless line")
            if time.monotonic() > end:
                raise NotInTime(f"line unfinished: {self.buffer[:300]!r}")
            if not self.fill():
                raise Truncated(f"the stream ended in a line: {self.buffer[:300]!r}")
        line, self.buffer = self.buffer.split(b"\n", 1)
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            raise WireError(f"line without CRLF or with a bare CR: {line!r}")
        return line[:-1]

    def read_fields(self):
        pairs = []
        while line := self.read_line():
            name, colon, value = line.partition(b":")
            value = value.strip(b" \t")
            if not colon or not TOKEN.match(name) or not VALUE.match(value):
                raise WireError(f"malformed field {line!r}")
            pairs.append((name.decode().lower(), value.decode("latin-1")))
        return Fields(pairs)

    def read_chunk(self):
        """The next chunk, without its framing; empty for the last one, whose trailers are not read yet."""
        line = self.read_line()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", line):
            raise WireError(f"malformed chunk size {line!r}")
        size = int(line, 16)
        if size == 0:
            return b""
        data = self.read_exactly(size)
        if self.read_exactly(2) != b"\r\n":
            raise WireError("no CRLF behind a chunk")
        return data

    def read_chunks(self, message):
        parts = []
        while chunk := self.read_chunk():
            parts.append(chunk)
        message.body = b"".join(parts)
        message.chunks = [len(part) for part in parts]
        message.trailers = self.read_fields()

    def read_body(self, message, until_end):
        length, coding = message.header("content-length"), message.header("transfer-encoding")
        if length is not None and coding is not None:
            raise WireError("Content-Length and Transfer-Encoding together")
        if coding is not None:
            if coding.lower() != "chunked":
                raise WireError(f"Transfer-Encoding: {coding}")
            self.read_chunks(message)
        elif length is not None:
            if not re.fullmatch("[0-9]+", length):
                raise WireError(f"Content-Length: {length}")
            message.body = self.read_exactly(int(length))
        elif until_end:
            message.body = self.read_until_end()
            if self.was_reset:
                raise Truncated("reset in a body that lasts until the close")

    def read_request_head(self):
        """None when the peer closes instead."""
        if not self.buffer and not self.fill():
            return None
        line = self.read_line()
        match = REQUEST_LINE.match(line)
        if not match:
            raise WireError(f"malformed request line {line!r}")
        return Request(match[1].decode(), match[2].decode(), match[3].decode(), self.read_fields())

    def read_request(self):
        request = self.read_request_head()
        if request is not None:
            self.read_body(request, until_end=False)
        return request

    def read_response_head(self):
        line = self.read_line()
        match = STATUS_LINE.match(line)
        if not match:
            raise WireError(f"malformed status line {line!r}")
        return Response(int(match[1]), match[2].decode("latin-1"), self.read_fields())

    def read_response(self, method="GET"):
        """The next final response; 1xx before it are in `interim`."""
        interim = []
        while True:
            response = self.read_response_head()
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response)
        response.interim = interim
        if method != "HEAD" and response.status not in (101, 204, 304):
            self.read_body(response, until_end=True)
        return response


def connect(port, patience=PATIENCE, receive_buffer=0, source="127.0.0.1"):
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(patience)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    return Connection(sock, patience)


def head(first_line, *fields, host="test.local"):
    """A request head as bytes; `fields` are lines, each text or bytes. host=None leaves Host out."""
    lines = [first_line] + ([f"Host: {host}"] if host is not None else []) + list(fields)
    return b"".join((line if isinstance(line, bytes) else line.encode("latin-1")) + b"\r\n" for line in lines) + b"\r\n"


def get(path="/", *fields, host="test.local", method="GET"):
    return head(f"{method} {path} HTTP/1.1", *fields, host=host)


def post(path, body, *fields, host="test.local", method="POST"):
    return head(f"{method} {path} HTTP/1.1", f"Content-Length: {len(body)}", *fields, host=host) + body


def chunked(*parts, trailers=()):
    lines = b"".join(line.encode() + b"\r\n" for line in trailers)
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n" + lines + b"\r\n"


def answer(status=200, body=b"ok", *fields, reason="Status", length=True):
    lines = [f"HTTP/1.1 {status} {reason}", *fields] + ([f"Content-Length: {len(body)}"] if length else [])
    return b"".join(line.encode("latin-1") + b"\r\n" for line in lines) + b"\r\n" + body

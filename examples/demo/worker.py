#!/usr/bin/env python3
"""A small real web server for the demo: what Portunus stands in front of in `./dev run`.

    python3 examples/demo/worker.py 1            # worker 1 on 127.0.0.1:9001
    python3 examples/demo/worker.py 7 --port 8100

Paths: /  who answered; /health  for probes; /slow?seconds=2; /events  server-sent events; /echo  POST, gives the body
back; /ws  WebSocket echo.  SIGTERM lets running requests finish; SIGKILL is the test of the front door.
"""

import argparse
import base64
import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
BODY_MAX = 64 * 1024 * 1024
GRACE_SECONDS = 10


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address, name):
        super().__init__(address, Handler)
        self.name = name
        self.stopping = False
        self.lock = threading.Lock()
        self.idle = set()  # connections between two requests
        self.busy = 0

    def enter(self, connection):
        with self.lock:
            self.idle.discard(connection)
            self.busy += 1

    def leave(self, connection):
        with self.lock:
            self.busy -= 1
            if not self.stopping:
                self.idle.add(connection)

    def stop(self):
        """Accepts no more, closes idle connections, waits a while for running requests."""
        self.shutdown()
        self.server_close()
        with self.lock:
            self.stopping = True
            for connection in self.idle:
                try:
                    connection.shutdown(socket.SHUT_RD)
                except OSError:
                    pass
        end = time.monotonic() + GRACE_SECONDS
        while self.busy and time.monotonic() < end:
            time.sleep(0.02)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self):
        self.entered = False
        try:
            super().handle_one_request()
        finally:
            if self.entered:
                self.server.leave(self.connection)

    def parse_request(self):
        self.server.enter(self.connection)
        self.entered = True
        return super().parse_request()

    def setup(self):
        super().setup()
        with self.server.lock:
            self.server.idle.add(self.connection)

    def finish(self):
        with self.server.lock:
            self.server.idle.discard(self.connection)
        super().finish()

    def version_string(self):
        return "demo-worker"

    def log_message(self, format, *args):
        pass

    # ---- answers

    def reply(self, status, body, content_type="text/plain; charset=utf-8"):
        if isinstance(body, str):
            body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Worker", self.server.name)
        if self.server.stopping:
            self.send_header("Connection", "close")
        self._headers_buffer.append(b"\r\n")
        if self.command != "HEAD":
            self._headers_buffer.append(body)
        self.flush_headers()  # head and body leave in one write

    def do_GET(self):
        target = urlsplit(self.path)
        query = parse_qs(target.query)
        if target.path == "/":
            self.reply(200, f"Hello from worker {self.server.name} (process {os.getpid()}).\n")
        elif target.path == "/health":
            self.reply(503 if self.server.stopping else 200, json.dumps({"ok": not self.server.stopping}) + "\n",
                       "application/json")
        elif target.path == "/slow":
            seconds = self.number(query, "seconds", 2.0, 60.0)
            time.sleep(seconds)
            self.reply(200, f"Worker {self.server.name} took {seconds:g} s.\n")
        elif target.path == "/events":
            self.events(query)
        elif target.path == "/ws":
            self.websocket()
        elif target.path == "/echo":
            self.reply(405, "POST a body to /echo.\n")
        else:
            self.reply(404, f"Worker {self.server.name} has no {target.path}\n")

    do_HEAD = do_GET

    def do_POST(self):
        body = self.read_body()
        if body is None:
            self.close_connection = True
            self.reply(400, "The body could not be read.\n")
        elif urlsplit(self.path).path == "/echo":
            self.reply(200, body, self.headers.get("Content-Type", "application/octet-stream"))
        else:
            self.reply(404, "Only /echo takes a POST.\n")

    @staticmethod
    def number(query, name, default, largest):
        try:
            return max(0.0, min(largest, float(query[name][0])))
        except (KeyError, ValueError):
            return default

    # ---- bodies

    def read_body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            try:
                length = int(self.headers.get("Content-Length", "0"))
            except ValueError:
                return None
            return self.rfile.read(length) if 0 <= length <= BODY_MAX else None
        parts, total = [], 0
        while True:
            try:
                size = int(self.rfile.readline(1024).split(b";")[0], 16)
            except ValueError:
                return None
            total += size
            if size < 0 or total > BODY_MAX:
                return None
            if size == 0:
                break
            parts.append(self.rfile.read(size))
            self.rfile.readline(8)
        while self.rfile.readline(65536) not in (b"\r\n", b"\n", b""):
            pass
        return b"".join(parts)

    def events(self, query):
        count = int(self.number(query, "count", 3600, 1e6))
        interval = self.number(query, "interval", 1.0, 60.0)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Worker", self.server.name)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "HEAD":
            return
        for number in range(1, count + 1):
            if self.server.stopping:
                break
            event = f"id: {number}\ndata: worker {self.server.name}, {time.strftime('%H:%M:%S')}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            if number < count:
                time.sleep(interval)
        self.wfile.write(b"0\r\n\r\n")

    # ---- WebSocket, RFC 6455: single frames are sent back as they came

    def websocket(self):
        key = self.headers.get("Sec-WebSocket-Key", "")
        if "websocket" not in self.headers.get("Upgrade", "").lower() or not key:
            self.reply(426, "This is a WebSocket: ask with Upgrade: websocket.\n")
            return
        accept = base64.b64encode(hashlib.sha1(key.encode() + WEBSOCKET_GUID).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.send_header("X-Worker", self.server.name)
        self.end_headers()
        self.close_connection = True
        while True:
            frame = self.read_frame()
            if frame is None:
                return
            first, payload = frame
            opcode = first & 0x0F
            if opcode == 0x9:  # ping -> pong
                first = (first & 0xF0) | 0xA
            if opcode != 0xA:
                self.wfile.write(self.frame(first, payload))
            if opcode == 0x8:
                return

    def read_frame(self):
        head = self.rfile.read(2)
        if len(head) < 2 or not head[1] & 0x80:  # a client's frame is masked
            return None
        length = head[1] & 0x7F
        if length >= 126:
            length = int.from_bytes(self.rfile.read(2 if length == 126 else 8), "big")
        if length > BODY_MAX:
            return None
        mask = self.rfile.read(4)
        masked = self.rfile.read(length)
        if len(mask) < 4 or len(masked) < length:
            return None
        key = (mask * (length // 4 + 1))[:length]
        payload = (int.from_bytes(masked, "big") ^ int.from_bytes(key, "big")).to_bytes(length, "big")
        return head[0], payload

    @staticmethod
    def frame(first, payload):
        length = len(payload)
        if length < 126:
            head = bytes([first, length])
        elif length < 65536:
            head = bytes([first, 126]) + length.to_bytes(2, "big")
        else:
            head = bytes([first, 127]) + length.to_bytes(8, "big")
        return head + payload


def main():
    parser = argparse.ArgumentParser(description="A demo worker behind Portunus.")
    parser.add_argument("name", nargs="?", default="1", help="its number or name (default 1)")
    parser.add_argument("--port", type=int, help="default: 9000 + number")
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    port = options.port
    if port is None:
        if not options.name.isdigit():
            parser.error("a worker without a number needs --port")
        port = 9000 + int(options.name)
    try:
        server = Server((options.host, port), options.name)
    except OSError as error:
        sys.exit(f"worker {options.name}: cannot listen on {options.host}:{port}: {error.strerror}")

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})  # before any thread
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    print(f"worker {options.name} (process {os.getpid()}) on http://{options.host}:{server.server_port}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.stop()


if __name__ == "__main__":
    main()

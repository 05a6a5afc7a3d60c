"""A server of gRPC without generated code: messages are bytes.  `grpc_worker.py PORT AGE [CERT KEY]`, where connections end after AGE ms (0: never)

    /test.Worker/Echo     unary      the message back
    /test.Worker/Name     unary      the port
    /test.Worker/Seen     unary      metadata and the time that is left, as JSON
    /test.Worker/Fail     unary      "CODE text": fails with that status, and with metadata behind it
    /test.Worker/Sleep    unary      until it is cancelled
    /test.Worker/Counts   unary      {"started": calls of Sleep, Hold and Chat, "cancelled": those of them,
                                     "connections": that calls of Name have come by}, as JSON
    /test.Worker/Gather   stream in  "MESSAGES BYTES SHA-256"
    /test.Worker/Spread   stream out "N SIZE": so many messages, so large
    /test.Worker/Hold     stream out the message back, then nothing until it is cancelled
    /test.Worker/Chat     both       each message back at once, but "the end": no cancellation is waited for behind it
    /test.Worker/Turn     unary      "SERVICE WORD": what Check says of it from now on: serving, sick, or gone
    /grpc.health.v1.Health/Check     of "" and "test.Worker", as the standard has it
"""

import hashlib
import json
import signal
import sys
import threading
from concurrent import futures

import grpc

STATES = {"serving": b"\x08\x01", "sick": b"\x08\x02"}  # HealthCheckResponse{status}
LARGE = 64 * 1024 * 1024
CODES = {code.value[0]: code for code in grpc.StatusCode}


class Worker:
    def __init__(self, name):
        self.name = name
        self.changed = threading.Lock()
        self.started = self.cancelled = 0
        self.peers = set()
        self.health = {"": "serving", "test.Worker": "serving"}

    def begin(self, context):
        """Counts the call; an event that comes when it is over."""
        over = threading.Event()
        context.add_callback(over.set)
        with self.changed:
            self.started += 1
        return over

    def end(self):
        with self.changed:
            self.cancelled += 1

    # ---- unary

    def echo(self, message, _context):
        return message

    def tell_name(self, _message, context):
        self.peers.add(context.peer())
        return str(self.name).encode()

    def seen(self, _message, context):
        fields = [[key, value if isinstance(value, str) else value.hex()]
                  for key, value in context.invocation_metadata()]
        left = context.time_remaining()
        context.send_initial_metadata((("x-first", "1"), ("x-raw-bin", b"\0\1\xff")))
        context.set_trailing_metadata((("x-last", "2"), ("x-raw-bin", b"\xff\1\0")))
        return json.dumps({"fields": fields, "left": left if left is not None and left < 1e9 else None}).encode()

    def fail(self, message, context):
        code, _, text = message.decode().partition(" ")
        context.set_trailing_metadata((("x-why", code), ("x-why-bin", text.encode())))
        context.abort(CODES[int(code)], text)

    def sleep(self, _message, context):
        self.begin(context).wait()
        self.end()
        return b""

    def counts(self, _message, _context):
        with self.changed:
            return json.dumps({"started": self.started, "cancelled": self.cancelled,
                               "connections": len(self.peers)}).encode()

    def turn(self, message, _context):
        service, _, word = message.decode().rpartition(" ")
        self.health[service] = word
        return b""

    def check(self, message, context):
        state = self.health.get(message[2:].decode(), "gone")  # HealthCheckRequest{service}
        if state == "gone":
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return STATES[state]

    # ---- streams

    def gather(self, messages, _context):
        count, size, digest = 0, 0, hashlib.sha256()
        for message in messages:
            count, size = count + 1, size + len(message)
            digest.update(message)
        return f"{count} {size} {digest.hexdigest()}".encode()

    def spread(self, message, _context):
        count, size = map(int, message.split())
        for number in range(count):
            yield number.to_bytes(4, "big") + bytes(max(size - 4, 0))

    def hold(self, message, context):
        over = self.begin(context)
        try:
            yield message
            over.wait()
        finally:
            self.end()

    def chat(self, messages, context):
        over, is_whole = self.begin(context), False
        try:
            for message in messages:
                is_whole = message == b"the end"
                if not is_whole:
                    yield message
        except grpc.RpcError:
            over.set()
        finally:  # python also just stops, or does not go on with us, when a call is cancelled
            if not is_whole and over.wait(20):
                self.end()

    def handlers(self):
        unary, gather = grpc.unary_unary_rpc_method_handler, grpc.stream_unary_rpc_method_handler
        spread, chat = grpc.unary_stream_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        return (
            grpc.method_handlers_generic_handler("test.Worker", {
                "Echo": unary(self.echo), "Name": unary(self.tell_name), "Seen": unary(self.seen),
                "Fail": unary(self.fail), "Sleep": unary(self.sleep), "Counts": unary(self.counts),
                "Turn": unary(self.turn), "Gather": gather(self.gather), "Spread": spread(self.spread), "Hold": spread(self.hold),
                "Chat": chat(self.chat),
            }),
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": unary(self.check)}),
        )


def main(port, age, cert=None, key=None):
    options = [("grpc.max_receive_message_length", LARGE), ("grpc.max_send_message_length", LARGE),
               ("grpc.so_reuseport", 0)]
    if age != "0":
        options += [("grpc.max_connection_age_ms", int(age)), ("grpc.max_connection_age_grace_ms", 10_000)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), Worker(port).handlers(), options=options)
    if cert:
        with open(cert, "rb") as cert_file, open(key, "rb") as key_file:
            pair = (key_file.read(), cert_file.read())
        bound = server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([pair]))
    else:
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
    assert bound == int(port), f"port {port} is taken"
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    server.start()
    while not ended.wait(0.2):  # so that the signal is seen
        pass
    server.stop(1).wait()


if __name__ == "__main__":
    main(*sys.argv[1:])

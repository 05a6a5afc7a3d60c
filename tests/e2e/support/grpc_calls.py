"""Both ends of calls of gRPC: workers in processes of their own, and clients by Debian's python3-grpcio."""

import json
import sys
from pathlib import Path

import pytest

from . import servers
from .ports import free_port
from .waiting import PATIENCE, wait_until

grpc = pytest.importorskip("grpc", reason="python3-grpcio is not installed")

PROGRAM = Path(__file__).with_name("grpc_worker.py")
LARGE = 64 * 1024 * 1024
OPTIONS = [
    ("grpc.max_receive_message_length", LARGE), ("grpc.max_send_message_length", LARGE),
    ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),  # what it hides would be ours
]


class Worker(servers.Server):
    """See grpc_worker.py. start() after kill() has the same port."""

    def __init__(self, folder, files=None, root=None, age=0):
        port, self.root = free_port(), root
        command = [sys.executable, str(PROGRAM), str(port), str(age), *([files["cert"], files["key"]] if files else [])]
        super().__init__(command, port, folder)

    def wait_for(self, key, count):
        """Asks the worker itself, beside the proxy."""
        with Client(self.port, self.root, "127.0.0.1") as direct:
            wait_until(lambda: direct.counts_if_any().get(key, 0) >= count, f"{count} calls have {key}")


class Client:
    """Calls of test.Worker and of Health, over a channel of its own."""

    def __init__(self, port, root=None, name="localhost", options=()):
        options = [*OPTIONS, *options]
        if root is None:
            self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)
        else:
            credentials = grpc.ssl_channel_credentials(Path(root).read_bytes())
            options.append(("grpc.ssl_target_name_override", name))
            self.channel = grpc.secure_channel(f"127.0.0.1:{port}", credentials, options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def unary(self, method):
        return self.channel.unary_unary(method if method.startswith("/") else f"/test.Worker/{method}")

    def call(self, method, message=b"", timeout=PATIENCE * 2, metadata=None):
        """The answer's message."""
        return self.unary(method)(message, timeout=timeout, metadata=metadata)

    def failure(self, method, message=b"", timeout=PATIENCE * 2, metadata=None):
        """The error that the call ends with."""
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, message, timeout, metadata)
        return caught.value

    def counts(self):
        return json.loads(self.call("Counts"))

    def counts_if_any(self):
        """Empty: the worker's connections age, and this call was on one that has ended."""
        try:
            return self.counts()
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            return {}

    def gather(self, messages, timeout=PATIENCE * 2):
        return self.channel.stream_unary("/test.Worker/Gather")(iter(messages), timeout=timeout)

    def spread(self, count, size, timeout=PATIENCE * 2):
        return self.channel.unary_stream("/test.Worker/Spread")(f"{count} {size}".encode(), timeout=timeout)

    def hold(self, message=b"first", timeout=None):
        return self.channel.unary_stream("/test.Worker/Hold")(message, timeout=timeout)

    def chat(self, messages, timeout=PATIENCE * 2):
        return self.channel.stream_stream("/test.Worker/Chat")(messages, timeout=timeout)


def metadata_of(error):
    """What came behind the answer; of an answer without a message, all of its fields."""
    return {key: value for key, value in error.trailing_metadata()}

"""Stands in for a proxy that has been taken over: it is ready, and asks the supervisor for a reload again and again.
Usage: greedy_proxy.py proxy ... --channel DESCRIPTOR ...; ends when it is told to retire or to stop."""

import json
import select
import socket
import sys

channel = socket.socket(fileno=int(sys.argv[sys.argv.index("--channel") + 1]))
channel.setblocking(False)


def tell(kind, text=""):
    try:
        channel.send(json.dumps({"is": kind, "text": text}).encode())
    except BlockingIOError:
        pass


tell("ready", "greedy")
while True:
    tell("alive")
    tell("prepare", "0123456789abcdef")
    if select.select([channel], [], [], 0.002)[0]:
        packet = channel.recv(1 << 17)
        if not packet or json.loads(packet)["is"] in ("retire", "stop"):
            break

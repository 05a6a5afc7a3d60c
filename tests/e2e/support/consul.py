"""A real Consul agent, started on free ports and stopped by its process id. `./dev test` fetches the program
(tools/consul.sh); where it cannot be had its tests are skipped, and say so."""

import http.client
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from .door import ROOT
from .ports import free_port
from .waiting import SCALE, wait_until

PROGRAM = next((path for path in (str(ROOT / "build/tools/consul"), shutil.which("consul")) if path and os.access(path, os.X_OK)), None)

needs_consul = pytest.mark.skipif(PROGRAM is None, reason="there is no Consul on this machine (tools/consul.sh)")


class Consul:
    """In development mode: one server, nothing on disk, one data center."""

    def __init__(self, folder, config=None, token=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.token = token
        self.port = free_port()
        self.ports = {"http": self.port, "dns": -1, "grpc": -1, "serf_lan": free_port(), "serf_wan": free_port(), "server": free_port()}
        (self.folder / "consul.json").write_text(json.dumps({"ports": self.ports, **(config or {})}))
        self.process = None
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        with open(self.folder / "log.txt", "ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", f"-config-file={self.folder / 'consul.json'}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
            )
        wait_until(self._has_leader, "Consul has a leader and knows its own node", 40 * SCALE)

    def _has_leader(self):
        assert self.process.poll() is None, (self.folder / "log.txt").read_text()[-3000:]
        try:
            status, body = self.ask("GET", "/v1/catalog/nodes")
        except OSError:
            return False
        return status == 403 or (status == 200 and len(json.loads(body)) > 0)

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10 * SCALE)
        try:
            headers = {"X-Consul-Token": self.token} if self.token else {}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def order(self, path, body=None):
        status, answer = self.ask("PUT", path, body)
        assert status == 200, (path, status, answer)
        return answer

    def register(self, member, name="web", **more):
        """An instance of the service with a check that is passing until check() says otherwise."""
        host, port = member.address.rsplit(":", 1)
        check = {"CheckID": f"check:{member.address}", "TTL": "1h", "Status": "passing"}
        self.order("/v1/agent/service/register",
                   {"Name": name, "ID": f"{name}-{port}", "Address": host, "Port": int(port), "Check": check, **more})

    def deregister(self, member, name="web"):
        self.order(f"/v1/agent/service/deregister/{name}-{member.address.rsplit(':', 1)[1]}")

    def check(self, member, status):
        self.order(f"/v1/agent/check/update/check:{member.address}", {"Status": status, "Output": "the test says so"})

    def maintenance(self, member, on, name="web"):
        port = member.address.rsplit(":", 1)[1]
        self.order(f"/v1/agent/service/maintenance/{name}-{port}?enable={'true' if on else 'false'}&reason=test")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        if self.process.poll() is None:
            self.kill()

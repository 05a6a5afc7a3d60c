"""Both ends of WebSockets by npm's ws (Debian's node-ws): see ws_server.js and ws_client.js."""

import os
import subprocess
from pathlib import Path

from . import servers
from .ports import free_port
from .waiting import PATIENCE

HERE = Path(__file__).parent
# Where Debian's packages have their modules; a node that is not Debian's does not look there by itself.
ENVIRONMENT = {**os.environ, "NODE_PATH": "/usr/share/nodejs"}


def command(program, *arguments):
    return [servers.NODE or "node", str(HERE / program), *map(str, arguments)]


class Server(servers.Server):
    def __init__(self, folder, files=None):
        port = free_port()
        keys = [files["cert"], files["key"]] if files else []
        place = ["env", f"NODE_PATH={ENVIRONMENT['NODE_PATH']}"]
        super().__init__([*place, *command("ws_server.js", port, *keys)], port, folder)


class Client:
    """One scenario of ws_client.js."""

    def __init__(self, what, url, authority=None):
        self.process = subprocess.Popen(
            command("ws_client.js", what, url, *([authority] if authority else [])), env=ENVIRONMENT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )

    def wait_for_line(self):
        """What it says before its end."""
        return self.process.stdout.readline()

    def finish(self, text=""):
        """Gives it the line that it waits for, if it does, and waits for its end."""
        try:
            _, errors = self.process.communicate(text, timeout=4 * PATIENCE)
        finally:
            self.close()
        assert self.process.returncode == 0, errors

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

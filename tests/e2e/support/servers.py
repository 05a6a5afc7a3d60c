"""Real servers as upstreams, and real clients: nginx, python's http.server, node, wrk."""

import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from .ports import free_port
from .waiting import SCALE, wait_until

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
WRK = shutil.which("wrk")
NODE = shutil.which("node")


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Server:
    """A process that listens on `port`. May be killed and started again."""

    def __init__(self, command, port, folder):
        self.command, self.port, self.folder = command, port, Path(folder)
        self.address = f"127.0.0.1:{port}"
        self.process = None
        self.start()

    def start(self):
        with open(self.folder / f"server-{self.port}.log", "ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        wait_until(lambda: is_listening(self.port) or self.process.poll() is not None, f"{self.command[0]} listens")
        assert self.process.poll() is None, (self.folder / f"server-{self.port}.log").read_text()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.kill()


NGINX_FILE = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx-{port}.pid; error_log {folder}/nginx-{port}.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 0; client_body_temp_path {folder}/body-{port};
  default_type text/plain;
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    root {folder}/www;
    location = /hello {{ return 200 "hello from {port}\\n"; }}
    location = /health {{ return 200 "healthy\\n"; }}
    location = /nothing {{ return 204; }}
  }}
}}
"""


def nginx(folder, port=None):
    """One process, so that one SIGKILL is the end of it. /hello says which one answered; files are in www/."""
    port = port or free_port()
    folder = Path(folder)
    (folder / "www").mkdir(exist_ok=True)
    file = folder / f"nginx-{port}.conf"
    file.write_text(NGINX_FILE.format(folder=folder, port=port))
    return Server([NGINX, "-p", str(folder), "-c", str(file), "-e", f"{folder}/nginx-{port}.log"], port, folder)


def http_server(folder):
    """python's http.server over the files of a folder."""
    port = free_port()
    (Path(folder) / "www").mkdir(exist_ok=True)
    return Server([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory",
                   str(Path(folder) / "www")], port, folder)


NODE_PROGRAM = """
const http = require('http');
const server = http.createServer((request, response) => {
  if (request.url === '/trailers') {
    response.writeHead(200, {'Trailer': 'x-sum', 'Content-Type': 'text/plain'});
    response.write('some text'); response.addTrailers({'x-sum': '42'}); response.end();
  } else if (request.url === '/hints') {
    response.writeEarlyHints ? response.writeEarlyHints({link: '</a.css>; rel=preload'}) : 0;
    response.end('hinted');
  } else {
    let size = 0;
    request.on('data', (data) => { size += data.length; });
    request.on('end', () => response.end(JSON.stringify({method: request.method, url: request.url, size,
      headers: request.headers, trailers: request.trailers})));
  }
});
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: echo\\r\\nConnection: Upgrade\\r\\n\\r\\n');
  socket.pipe(socket);
});
server.keepAliveTimeout = 60000;
server.listen(PORT, '127.0.0.1');
"""


def node(folder):
    port = free_port()
    program = Path(folder) / f"server-{port}.js"
    program.write_text(NODE_PROGRAM.replace("PORT", str(port)))
    return Server([NODE, str(program)], port, folder)


class Load:
    """wrk in the background. result() waits for its end, finish() ends it. An answer that takes longer than `patience` is a failure."""

    def __init__(self, url, seconds, connections=32, threads=1, patience=10):
        self.seconds = seconds
        self.process = subprocess.Popen(
            [WRK, f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{patience * SCALE}s", url],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )

    @property
    def is_running(self):
        return self.process.poll() is None

    def _minds_interrupts(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^SigCgt:\s+([0-9a-f]+)$", status, re.M)[1], 16) >> (signal.SIGINT - 1) & 1

    def finish(self):
        """As result(), and it need not go on: what it had to run beside has happened."""
        assert self.is_running, "it ended too early for the test to tell anything"
        wait_until(self._minds_interrupts, "wrk handles SIGINT")  # it may have begun to send before
        self.process.send_signal(signal.SIGINT)  # wrk then tells what it has seen
        return self.result()

    def result(self):
        """(requests, text about what failed)"""
        try:
            text, _ = self.process.communicate(timeout=self.seconds + 20 * SCALE)
        except subprocess.TimeoutExpired:
            self.close()
            raise
        requests = re.search(r"(\d+) requests in", text)
        assert requests, text
        failures = [line.strip() for line in text.split("\n") if "Non-2xx" in line or "Socket errors" in line]
        return int(requests[1]), "; ".join(failures)

    def close(self):
        if self.is_running:
            self.process.kill()
            self.process.wait()

"""A service's program for the tests: an HTTP server that does as it is told. Usage: worker.py PORT [FOLDER]

    /           its process id
    /health     200, or 500 while FOLDER/sick-PORT is there
    /slow       answers when FOLDER/go is there
    /exit       ends the process at once, with status 3
It ends at SIGTERM, unless FOLDER/stubborn is there; FOLDER/child makes it start a child of its own.
"""

import http.server
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PORT = int(sys.argv[1])
FOLDER = Path(sys.argv[2] if len(sys.argv) > 2 else ".")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer leaves in one write, as with most servers: killed, it has said all or nothing

    def do_GET(self):
        status, body = 200, str(os.getpid())
        if self.path == "/health" and (FOLDER / f"sick-{PORT}").exists():
            status = 500
        elif self.path == "/exit":
            os._exit(3)
        elif self.path == "/slow":
            while not (FOLDER / "go").exists():
                time.sleep(0.01)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, text, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


if (FOLDER / "stubborn").exists():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if (FOLDER / "child").exists():
    subprocess.Popen(["sleep", "300"])
print(f"worker {os.getpid()} on {PORT}", flush=True)
Server(("127.0.0.1", PORT), Handler).serve_forever()

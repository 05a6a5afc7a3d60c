"""Real servers that speak HTTP/2 with whoever asks them: nginx, Caddy, h2o, nghttpd; in the clear (prior knowledge) or over TLS.

Each has the files of www/, `/proto` that says which protocol it was asked by (where it can), and `/echo/`, which gives a request's
body back: from a raw upstream behind it, or by itself.
"""

import shutil
import signal
from pathlib import Path

from . import servers
from .ports import free_port

CADDY = shutil.which("caddy")
H2O = shutil.which("h2o")
NGHTTPD = shutil.which("nghttpd") or "/usr/sbin/nghttpd"

NGINX_FILE = """
daemon off; worker_processes 1; pid {folder}/nginx-{port}.pid; error_log {folder}/nginx-{port}.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size {body}; client_body_temp_path {folder}/body-{port};
  proxy_temp_path {folder}/proxy-{port}; default_type text/plain; http2_max_concurrent_streams {streams};
  keepalive_requests {requests};
  server {{
    listen 127.0.0.1:{port} http2 {tls};
    root {folder}/www;
    location = /proto {{ return 200 "$server_protocol\\n"; }}
    location /echo/ {{ proxy_pass http://{echo}; }}
  }}
}}
"""


class Nginx(servers.Server):
    """With a master process, so that it can be reloaded."""

    def reload(self):
        self.process.send_signal(signal.SIGHUP)


def www(folder):
    place = Path(folder) / "www"
    place.mkdir(exist_ok=True)
    place.parent.chmod(0o755)
    return place


def nginx(folder, echo, files=None, streams=128, requests=100000, body=0):
    port = free_port()
    www(folder)
    tls = "ssl; ssl_certificate {cert}; ssl_certificate_key {key}".format(**files) if files else ""
    file = Path(folder) / f"nginx-{port}.conf"
    user = "user root;\n"  # the folders of tests are nobody else's
    file.write_text(user + NGINX_FILE.format(folder=folder, port=port, echo=echo, tls=tls, streams=streams,
                                             requests=requests, body=body))
    return Nginx([servers.NGINX, "-p", str(folder), "-c", str(file), "-e", f"{folder}/nginx-{port}.log"], port, folder)


CADDY_FILE = """
{{
  admin off
  auto_https off
  skip_install_trust
  servers {{
    protocols h1 h2 h2c
  }}
}}
{scheme}://:{port} {{
  bind 127.0.0.1
  {tls}
  handle /proto {{
    respond "{{http.request.proto}}"
  }}
  handle /echo/* {{
    reverse_proxy {echo}
  }}
  handle {{
    root * {folder}/www
    file_server
  }}
}}
"""


def caddy(folder, echo, files=None):
    port = free_port()
    www(folder)
    file = Path(folder) / f"Caddyfile-{port}"
    file.write_text(CADDY_FILE.format(
        folder=folder, port=port, echo=echo, scheme="https" if files else "http",
        tls="tls {cert} {key}".format(**files) if files else "",
    ))
    home = ["env", f"XDG_CONFIG_HOME={folder}", f"XDG_DATA_HOME={folder}"]
    return servers.Server([*home, CADDY, "run", "--config", str(file), "--adapter", "caddyfile"], port, folder)


H2O_FILE = """
user: root
num-threads: 1
pid-file: {folder}/h2o-{port}.pid
error-log: {folder}/h2o-{port}.log
access-log: {{ path: {folder}/h2o-{port}.access, format: "%H" }}
listen:
  host: 127.0.0.1
  port: {port}
{tls}
hosts:
  default:
    paths:
      /echo/:
        proxy.reverse.url: "http://{echo}/echo/"
      /:
        file.dir: {folder}/www
"""


def h2o(folder, echo, files=None):
    port = free_port()
    www(folder)
    file = Path(folder) / f"h2o-{port}.yaml"
    tls = "  ssl: {{ certificate-file: {cert}, key-file: {key} }}".format(**files) if files else ""
    file.write_text(H2O_FILE.format(folder=folder, port=port, echo=echo, tls=tls))
    return servers.Server([H2O, "-m", "worker", "-c", str(file)], port, folder)


def nghttpd(folder, _echo, files=None):
    """Gives every upload back, and has trailers behind every answer."""
    port = free_port()
    common = ["--address=127.0.0.1", f"--htdocs={www(folder)}", "--echo-upload", "--trailer=x-sum: 42"]
    if files:
        command = [NGHTTPD, *common, str(port), files["key"], files["cert"]]
    else:
        command = [NGHTTPD, *common, "--no-tls", str(port)]
    return servers.Server(command, port, folder)


KINDS = {"nginx": (nginx, servers.NGINX), "caddy": (caddy, CADDY), "h2o": (h2o, H2O), "nghttpd": (nghttpd, NGHTTPD)}

"""The proxies: how each is configured, started and asked for its version.

All run one worker thread, keep connections to the upstream alive, write no access log, and balance by least
connections over the upstream's ports. Where a peer has a faster reasonable setting, it is taken; README.md lists them.
"""

import os
import re
import shutil
import subprocess

IDLE_SECONDS = 600  # how long every proxy keeps an idle connection: longer than any measurement
REQUESTS_MAX = 1_000_000_000  # of a connection: those of h2load do not come back after a GOAWAY
CLIENTS_MAX = 12000


class Proxy:
    """How to run one kind of proxy. `listen` and `admin` are ports of 127.0.0.1; `certificate` is None for plain HTTP."""

    name = ""
    program = ""
    package = ""
    is_peer = True  # counts for the bar
    has_plain = True  # measured without TLS, too
    env = {}

    def find(self):
        return shutil.which(self.program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    def version(self):
        raise NotImplementedError

    def unsupervised(self):
        """The same without a process that starts itself anew as its child: valgrind's program would be started."""
        return self

    def write(self, folder, listen, admin, upstreams, same_headers, certificate):
        """Writes the configuration into `folder` and returns the command line."""
        raise NotImplementedError

    def _ask(self, *arguments):
        done = subprocess.run([self.find(), *arguments], capture_output=True, text=True, check=False)
        found = re.search(r"\d+\.\d+(\.\d+)?[\w.+~-]*", done.stdout + done.stderr)
        return found.group(0) if found else "unknown"


def _save(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


class Portunus(Proxy):
    name = "portunus"
    is_peer = False

    def __init__(self, program, verb="run"):
        self.program = os.path.abspath(program)
        self.verb = verb

    def unsupervised(self):
        return Portunus(self.program, "proxy")

    def version(self):
        return self._ask("version")

    def write(self, folder, listen, admin, upstreams, same_headers, certificate):
        members = ", ".join(f"127.0.0.1:{port}" for port in upstreams)
        tls = f"    tls: {{ cert: {certificate.cert}, key: {certificate.key} }}\n" if certificate else ""
        text = f"""threads: 1
limits: {{ requests_per_connection: {REQUESTS_MAX} }}
timeouts: {{ keep_alive: {IDLE_SECONDS}s }}
listeners:
  front: {{ address: "127.0.0.1:{listen}", tls: {"true" if certificate else "false"} }}
pools:
  fast:
    upstreams: [{members}]
    balance: least_connections
    max_connections_per_upstream: 4096
sites:
  "*":
{tls}    routes:
      - pool: fast
admin: {{ listen: "127.0.0.1:{admin}" }}
access_log: {{ format: off }}
"""
        return [self.program, self.verb, "-c", _save(folder, "portunus.yaml", text)]


class HAProxy(Proxy):
    """Buffers of 64 KiB instead of 16: the cheapest for big request bodies of the sizes that were tried."""

    name = program = package = "haproxy"

    def version(self):
        return self._ask("-v")

    def write(self, folder, listen, admin, upstreams, same_headers, certificate):
        servers = "\n".join(f"  server s{i} 127.0.0.1:{port}" for i, port in enumerate(upstreams))
        headers = "  option forwardfor\n" if same_headers else ""
        tls = f" ssl crt {certificate.both} alpn h2,http/1.1" if certificate else ""
        text = f"""global
  nbthread 1
  maxconn {CLIENTS_MAX}
  no strict-limits
  tune.bufsize 65536
defaults
  mode http
  timeout connect 5s
  timeout client {IDLE_SECONDS}s
  timeout server {IDLE_SECONDS}s
  timeout http-keep-alive {IDLE_SECONDS}s
  timeout http-request 30s
frontend in
  bind 127.0.0.1:{listen} backlog 4096{tls}
  option http-keep-alive
  default_backend out
backend out
  balance leastconn
  http-reuse always
{headers}{servers}
"""
        return [self.find(), "-db", "-q", "-f", _save(folder, "haproxy.cfg", text)]


class Nginx(Proxy):
    """Buffers that hold a whole answer of 100 KiB: the cheapest there of the settings that were tried."""

    name = program = "nginx"
    package = "nginx-light"

    def version(self):
        return self._ask("-v")

    def write(self, folder, listen, admin, upstreams, same_headers, certificate):
        servers = "\n".join(f"    server 127.0.0.1:{port} max_fails=0;" for port in upstreams)
        headers = (
            """
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Request-Id $request_id;"""
            if same_headers
            else ""
        )
        tls = (
            f"""
    ssl_certificate {certificate.cert};
    ssl_certificate_key {certificate.key};
    ssl_protocols TLSv1.2 TLSv1.3;"""
            if certificate
            else ""
        )
        text = f"""worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {CLIENTS_MAX}; }}
http {{
  access_log off;
  keepalive_timeout {IDLE_SECONDS}s;
  keepalive_requests {REQUESTS_MAX};
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 0;
  upstream fast {{
    least_conn;
{servers}
    keepalive 512;
    keepalive_requests 1000000;
  }}
  server {{
    listen 127.0.0.1:{listen} backlog=4096{" ssl http2" if certificate else ""};{tls}
    location / {{
      proxy_pass http://fast;
      proxy_http_version 1.1;
      proxy_set_header Connection "";{headers}
      proxy_request_buffering off;
      client_body_buffer_size 128k;
      proxy_buffer_size 128k;
      proxy_buffers 4 128k;
      proxy_busy_buffers_size 256k;
      proxy_max_temp_file_size 0;
    }}
  }}
}}
"""
        return [self.find(), "-c", _save(folder, "nginx.conf", text)]


class H2o(Proxy):
    """h2o 2.2 knows one address for each proxied path and so has no balancing to do: a small advantage."""

    name = program = package = "h2o"

    def version(self):
        return self._ask("-v")

    def write(self, folder, listen, admin, upstreams, same_headers, certificate):
        # Staying root lets it be counted under callgrind and end with us; it costs nothing on the path of a request.
        user = "user: root\n" if os.geteuid() == 0 else ""
        tls = f"""
  ssl:
    certificate-file: {certificate.cert}
    key-file: {certificate.key}
    minimum-version: TLSv1.2""" if certificate else ""
        text = f"""{user}num-threads: 1
max-connections: {CLIENTS_MAX}
http1-request-timeout: {IDLE_SECONDS}
proxy.emit-x-forwarded-headers: {"ON" if same_headers else "OFF"}
listen:
  host: 127.0.0.1
  port: {listen}{tls}
hosts:
  default:
    paths:
      /:
        proxy.reverse.url: "http://127.0.0.1:{upstreams[0]}/"
        proxy.timeout.keepalive: 60000
        proxy.preserve-host: ON
"""
        return [self.find(), "-c", _save(folder, "h2o.conf", text)]


class Nghttpx(Proxy):
    """The reverse proxy of nghttp2, the best of the peers at HTTP/2; measured with TLS only."""

    name = program = "nghttpx"
    package = "nghttp2-proxy"
    has_plain = False

    def version(self):
        return self._ask("--version")

    def write(self, folder, listen, admin, upstreams, same_headers, certificate):
        text = f"""frontend=127.0.0.1,{listen}
private-key-file={certificate.key}
certificate-file={certificate.cert}
workers=1
no-ocsp=yes
accesslog-file=/dev/null
errorlog-file=/dev/stderr
frontend-read-timeout={IDLE_SECONDS}s
frontend-keep-alive-timeout={IDLE_SECONDS}s
worker-frontend-connections={CLIENTS_MAX}
add-x-forwarded-for={"yes" if same_headers else "no"}
backlog=4096
"""
        text += "".join(f"backend=127.0.0.1,{port}\n" for port in upstreams)
        return [self.find(), "--conf=" + _save(folder, "nghttpx.conf", text)]


class Caddy(Proxy):
    """Shown for orientation; it is not in the bar."""

    name = program = package = "caddy"
    is_peer = False
    env = {"GOMAXPROCS": "1"}

    def version(self):
        return self._ask("version")

    def write(self, folder, listen, admin, upstreams, same_headers, certificate):
        members = " ".join(f"127.0.0.1:{port}" for port in upstreams)
        tls = f"  tls {certificate.cert} {certificate.key}\n" if certificate else ""
        text = f"""{{
  admin off
  auto_https off
  log {{
    level ERROR
  }}
}}
{"https" if certificate else "http"}://:{listen} {{
  bind 127.0.0.1
{tls}  reverse_proxy {members} {{
    lb_policy least_conn
    transport http {{
      keepalive {IDLE_SECONDS}s
      keepalive_idle_conns 2048
      keepalive_idle_conns_per_host 512
    }}
  }}
}}
"""
        self.env = {"GOMAXPROCS": "1", "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder}
        path = _save(folder, "Caddyfile", text)
        return [self.find(), "run", "--config", path, "--adapter", "caddyfile"]


def all_proxies(portunus_program):
    return [Portunus(portunus_program), HAProxy(), Nginx(), H2o(), Nghttpx(), Caddy()]

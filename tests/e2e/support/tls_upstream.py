"""Upstreams that speak TLS: the raw ones of upstream.py behind python's ssl; nginx and `openssl s_server`."""

import socket
import ssl
from pathlib import Path

from . import servers
from .ports import free_port
from .upstream import Upstream, ok, serve_requests
from .waiting import PATIENCE


def server_context(files, clients=None, version=None):
    """`clients`: the authority whose certificates clients must have."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["cert"], files["key"])
    context.set_alpn_protocols(["http/1.1"])
    if version:
        context.minimum_version = context.maximum_version = version
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(str(clients))
    return context


class Handshake:
    """What was agreed; a closed socket no longer knows."""

    def __init__(self, sock):
        self.version, self.protocol = sock.version(), sock.selected_alpn_protocol()
        self.is_resumed, self.peer = sock.session_reused, sock.getpeercert()


class TlsUpstream(Upstream):
    """`context` may be replaced: connections that come from then on have the new one."""

    def __init__(self, context, script=serve_requests(ok), **options):
        self.context = context
        self.names = []  # of the server, as clients asked for it
        self.handshakes = []  # of those that went well
        self.failures = []  # errors of the others
        super().__init__(script, **options)

    def _run(self, connection):
        context, sock = self.context, None
        context.sni_callback = lambda sock, name, _context: setattr(sock, "asked", name)
        try:
            # Fails, too, where hang_up() or the program was quicker.
            sock = context.wrap_socket(connection.sock, server_side=True, do_handshake_on_connect=False)
            sock.settimeout(PATIENCE)
            connection.sock = sock
            sock.do_handshake()
        except OSError as error:
            self._note(sock, self.failures, error)
            self._wait_for_end(connection.sock)
            connection.close()
            with self.changed:
                connection.is_open = False
                self.changed.notify_all()
            return
        self._note(sock, self.handshakes, Handshake(sock))
        super()._run(connection)

    @staticmethod
    def _wait_for_end(sock):
        """Of the program's direction: a close before what it has sent is read would be a reset, and could take the alert along."""
        try:
            socket.socket.shutdown(sock, socket.SHUT_WR)
            while socket.socket.recv(sock, 65536):
                pass
        except OSError:
            pass

    def hang_up(self):
        """Ends all connections. Their threads close them: a descriptor that somebody reads may not become another's."""
        for connection in list(self.connections):
            try:
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
            except OSError:
                pass
        self.wait_for(lambda _: self.open_connections == 0, "the connections are closed")

    def _note(self, sock, where, what):
        with self.changed:
            self.names.append(getattr(sock, "asked", None))
            where.append(what)
            self.changed.notify_all()


NGINX_TLS = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx-{port}.pid; error_log {folder}/nginx-{port}.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {folder}/body-{port}; default_type text/plain;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {cert}; ssl_certificate_key {key}; {more}
    root {folder}/www;
    location = /hello {{ return 200 "$ssl_server_name $ssl_protocol $ssl_session_reused $ssl_client_s_dn\\n"; }}
  }}
}}
"""


def nginx(folder, files, more=""):
    port = free_port()
    folder = Path(folder)
    (folder / "www").mkdir(exist_ok=True)
    file = folder / f"nginx-{port}.conf"
    file.write_text(NGINX_TLS.format(folder=folder, port=port, more=more, **files))
    return servers.Server(
        [servers.NGINX, "-p", str(folder), "-c", str(file), "-e", f"{folder}/nginx-{port}.log"], port, folder
    )


def s_server(folder, files, *options):
    """Answers every GET with a page about the session, which ends with the connection."""
    port = free_port()
    return servers.Server(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", files["cert"], "-key", files["key"], "-www",
         *options], port, folder,
    )

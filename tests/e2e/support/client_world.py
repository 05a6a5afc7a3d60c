"""Sites that ask their clients for certificates, and such clients."""

import ssl

from .certificates import Authority, ask, open_tls
from .ports import free_port
from .wire import get

NAMES = ("must", "may", "other", "open", "anything", "a", "b", "c", "root", "middle")


class World:
    """An authority for servers, two for clients, and sites on one listener that have one certificate."""

    def __init__(self, folder, keeper):
        self.folder, self.keeper = folder, keeper
        for name in ("servers", "clients", "others"):
            (folder / name).mkdir()
        self.servers = Authority(folder / "servers")
        self.clients = Authority(folder / "clients")
        self.others = Authority(folder / "others")
        self.port = free_port()
        self.member = keeper.upstream()
        self.pair = self.servers.make("all", [f"{name}.example" for name in NAMES])

    def site(self, client_ca=None, client_auth=None, **more):
        tls = dict(self.pair)
        if client_ca:
            tls["client_ca"] = str(client_ca)
        if client_auth:
            tls["client_auth"] = client_auth
        return {"pool": "web", "tls": tls, **more}

    def config(self, sites=None, protocols="h1", **root):
        return {
            "listeners": {"secure": {"address": f"127.0.0.1:{self.port}", "tls": True, "protocols": protocols}},
            "sites": sites or {
                "must.example": self.site(self.clients.root),
                "may.example": self.site(self.clients.root, "optional"),
                "other.example": self.site(self.others.root),
                "open.example": self.site(),
            },
            "pools": {"web": {"upstreams": [self.member.address], "health": "off"}},
            **root,
        }

    def context(self, certificate=None, **options):
        context = self.servers.client(**options)
        if certificate:
            context.load_cert_chain(certificate["cert"], certificate["key"])
        return context

    def ask(self, name, certificate=None, host=None, **options):
        return ask(self.port, self.context(certificate, **options), name, host=host)[0]

    def talk(self, name, *fields, certificate=None, host=None):
        """One request by hand over TLS: the status."""
        with open_tls(self.port, self.context(certificate), name) as connection:
            connection.sendall(get("/", "Connection: close", *fields, host=host or name))
            data = b""
            while part := connection.recv(65536):
                data += part
        return int(data.split()[1])

    def refused(self, name, certificate=None, **options):
        """The handshake fails; with TLS 1.3 a client learns so when it reads."""
        try:
            with open_tls(self.port, self.context(certificate, **options), name) as connection:
                connection.sendall(get("/", host=name))
                return connection.recv(1000) == b"" and "closed"
        except (ssl.SSLError, ConnectionError) as error:
            return str(error)


def make_client(authority, name, hosts=None):
    return authority.make(name, hosts or [f"{name}.clients"])

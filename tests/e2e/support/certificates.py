"""Certificates for tests, made with the openssl program; and TLS clients that say what they got."""

import socket
import ssl
import subprocess
import time

from .waiting import PATIENCE


def openssl(*arguments, text=""):
    result = subprocess.run(
        ["openssl", *arguments], input=text, text=True, capture_output=True, timeout=PATIENCE, check=False
    )
    assert result.returncode == 0, f"openssl {' '.join(map(str, arguments))}: {result.stderr}"
    return result.stdout


def key_arguments(kind):
    return ["rsa:2048"] if kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


def moment(offset):
    """"+1d" or "-2h" from now, as openssl reads times."""
    seconds = int(offset[:-1]) * {"s": 1, "h": 3600, "d": 86400}[offset[-1]]
    return time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))


class Authority:
    """Signs certificates; `root` is the file to trust."""

    def __init__(self, folder):
        self.folder = folder
        self.root = folder / "authority.pem"
        self.key = folder / "authority.key"
        openssl(
            "req", "-x509", "-newkey", *key_arguments("ec"), "-nodes", "-keyout", self.key, "-out", self.root,
            "-subj", "/CN=Test Authority", "-days", "30", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )

    def make(self, name, hosts=None, kind="ec", days=30, responder=None, must_staple=False):
        """name.pem (with its chain) and name.key; replaced in one step each, the certificate first. `responder`: its URL, or several."""
        responders = [responder] if isinstance(responder, str) else responder or []
        hosts = hosts or [name]
        fresh = {part: self.folder / f"{name}.{part}.new" for part in ("pem", "key", "csr")}
        names = ",".join(f"{'IP' if host[0].isdigit() or ':' in host else 'DNS'}:{host}" for host in hosts)
        openssl(
            "req", "-newkey", *key_arguments(kind), "-nodes", "-keyout", fresh["key"], "-out", fresh["csr"],
            "-subj", f"/CN={hosts[0]}", "-addext", f"subjectAltName={names}",
            *(["-addext", "authorityInfoAccess=" + ",".join(f"OCSP;URI:{url}" for url in responders)] if responders else []),
            *(["-addext", "tlsfeature=status_request"] if must_staple else []),
        )
        text = openssl(
            "x509", "-req", "-in", fresh["csr"], "-CA", self.root, "-CAkey", self.key, "-days", str(days),
            "-copy_extensions", "copyall",
        )
        fresh["csr"].unlink()
        fresh["pem"].write_text(text + self.root.read_text())
        fresh["key"].chmod(0o600)
        pem, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        fresh["pem"].rename(pem)
        fresh["key"].rename(key)
        return {"cert": str(pem), "key": str(key)}

    def revocations(self, revoked=(), begins="-1h", ends="+1d"):
        """A list of revoked certificates (PEM), given as make() returns them."""
        folder = self.folder / "revocations"
        folder.mkdir(exist_ok=True)
        (folder / "config").write_text(f"[ca]\ndefault_ca = one\n[one]\ndatabase = {folder}/index\ndefault_md = sha256\n")
        serials = [openssl("x509", "-in", each["cert"], "-noout", "-serial").strip().split("=")[1] for each in revoked]
        (folder / "index").write_text("".join(f"R\t400101000000Z\t250101000000Z\t{serial}\tunknown\t/CN={number}\n"
                                              for number, serial in enumerate(serials)))
        return openssl("ca", "-gencrl", "-config", folder / "config", "-cert", self.root, "-keyfile", self.key,
                       "-crl_lastupdate", moment(begins), "-crl_nextupdate", moment(ends))

    def client(self, **options):
        return client_context(self.root, **options)


def client_context(root, protocols=("http/1.1",), version=None, ciphers=None):
    context = ssl.create_default_context(cafile=str(root))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if version:
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def open_tls(port, context, name="localhost", session=None):
    """A connection over which a handshake has been made."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    try:
        return context.wrap_socket(plain, server_hostname=name, session=session)
    except BaseException:
        plain.close()
        raise


def serial_of(port, context, name="localhost"):
    with open_tls(port, context, name) as connection:
        return connection.getpeercert()["serialNumber"]


def ask(port, context, name="localhost", path="/", host=None):
    """One request over a connection of its own: status, fields (lower case) and body."""
    with open_tls(port, context, name) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host or name}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while part := connection.recv(65536):
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split()[1]), fields, body

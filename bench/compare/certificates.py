"""The certificate that all proxies show, and how the clients of the measurements speak TLS: 1.3 with AES-128-GCM."""

import os
import ssl
import subprocess
from dataclasses import dataclass

CLIENT_SETTINGS = """openssl_conf = settings
[settings]
ssl_conf = tls
[tls]
system_default = client
[client]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
"""


@dataclass(frozen=True)
class Certificate:
    """PEM files; ECDSA P-256. `both` holds the certificate and the key, as HAProxy wants it."""

    cert: str
    key: str
    both: str
    client_env: dict  # for programs of the load that use OpenSSL


def make(folder):
    cert, key, both, settings = (os.path.join(folder, name) for name in ("cert.pem", "key.pem", "both.pem", "client.cnf"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    with open(both, "w", encoding="ascii") as out:
        for path in (cert, key):
            with open(path, encoding="ascii") as part:
                out.write(part.read())
    with open(settings, "w", encoding="ascii") as out:
        out.write(CLIENT_SETTINGS)
    for path in (key, both):
        os.chmod(path, 0o644)  # a throw-away key; workers drop to other users
    return Certificate(cert, key, both, {"OPENSSL_CONF": settings})


def client_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    return context

#!/usr/bin/python3
"""Start with many certificates, and the exchange of one of them: wall time and CPU time of all of Portunus' processes.

Every site has an ECDSA P-256 certificate of its own, with the intermediate that has signed it. The exchange is what the
proxy says in its log (from the moment at which it looks, which is up to 0.2 s after the files have changed). Needs
python3-cryptography: openssl takes ten minutes to make so many.
"""

import argparse
import datetime
import os
import re
import signal
import statistics
import subprocess
import tempfile
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
HOST_PATTERN = "site-%05d.test"
EXCHANGED = re.compile(r"1 of \d+ certificates read again in ([0-9.]+) s")


def name_of(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """A root, and the intermediate that signs."""

    def __init__(self):
        self._root, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self._chain = self._sign("intermediate", self._key, "root", self._root, True)

    @staticmethod
    def _sign(name, key, issuer, issuer_key, is_authority, hosts=()):
        now = datetime.datetime.utcnow()
        made = (x509.CertificateBuilder().subject_name(name_of(name)).issuer_name(name_of(issuer))
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=90))
                .add_extension(x509.BasicConstraints(is_authority, None), critical=True))
        if hosts:
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        return made.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def write(self, folder, host):
        """As whoever renews certificates does: new files in the place of the old ones."""
        key = ec.generate_private_key(ec.SECP256R1())
        texts = {".key": key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()),
                 ".pem": self._sign(host, key, "intermediate", self._key, False, [host]) + self._chain}
        for ending, text in texts.items():
            path = os.path.join(folder, host + ending)
            with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                out.write(text)
        for ending in texts:
            path = os.path.join(folder, host + ending)
            os.replace(path + ".new", path)


class Proxy:
    def __init__(self, program, folder):
        self._log = os.path.join(folder, "output.log")
        self._began = time.monotonic()
        with open(self._log, "wb") as out:
            self._process = subprocess.Popen([program, "run", "-c", os.path.join(folder, "portunus.yaml")],
                                             stdout=out, stderr=out)

    def _tree(self, pid):
        found = [pid]
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as children:
                for child in children.read().split():
                    found += self._tree(int(child))
        return found

    def cpu_seconds(self):
        ticks = 0
        for pid in self._tree(self._process.pid):
            with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
                ticks += sum(int(field) for field in stat.read().rsplit(")", 1)[1].split()[11:13])
        return ticks / TICKS_PER_SECOND

    def wait_for(self, pattern, count=1):
        """All that was found."""
        while True:
            with open(self._log, encoding="utf-8") as log:
                text = log.read()
            found = re.findall(pattern, text)
            if len(found) >= count:
                return found
            if self._process.poll() is not None:
                raise SystemExit(text)
            time.sleep(0.01)

    def start_seconds(self):
        self.wait_for("ready: generation")
        return time.monotonic() - self._began

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


def write_config(folder, count, port, admin):
    with open(os.path.join(folder, "portunus.yaml"), "w", encoding="utf-8") as out:
        out.write(f"threads: 1\nstate: {folder}/state\nadmin: {{ listen: \"127.0.0.1:{admin}\" }}\n"
                  f"listeners:\n  https: {{ address: \"127.0.0.1:{port}\", tls: true }}\nsites:\n")
        for number in range(count):
            host = HOST_PATTERN % number
            out.write(f"  {host}:\n    tls: {{ cert: {host}.pem, key: {host}.key }}\n"
                      "    routes: [ { respond: { status: 204 } } ]\n")


def measure(args, folder, authority):
    starts, start_cpu, exchanges, exchange_cpu = [], [], [], []
    for _ in range(args.rounds):
        proxy = Proxy(args.portunus, folder)
        try:
            starts.append(proxy.start_seconds())
            start_cpu.append(proxy.cpu_seconds())
            time.sleep(3)  # its first look at all files, of which no line tells, is not an exchange's
            before = proxy.cpu_seconds()
            for number in range(args.exchanges):
                authority.write(folder, HOST_PATTERN % number)
                proxy.wait_for(EXCHANGED, number + 1)
            time.sleep(1)  # what follows an exchange without a line in the log is its cost, too
            exchange_cpu.append((proxy.cpu_seconds() - before) / args.exchanges)
            exchanges += [float(each) for each in proxy.wait_for(EXCHANGED)]
        finally:
            proxy.stop()
    print(f"{args.count} certificates, {args.rounds} rounds, load {os.getloadavg()[0]:.1f}; medians:")
    print(f"  start      {statistics.median(starts):.2f} s, CPU {statistics.median(start_cpu):.2f} s")
    print(f"  exchange   {statistics.median(exchanges) * 1000:.0f} ms (best {min(exchanges) * 1000:.0f} ms), "
          f"CPU {statistics.median(exchange_cpu) * 1000:.0f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--exchanges", type=int, default=10, help="of one certificate, in each round")
    parser.add_argument("--port", type=int, default=18443)
    parser.add_argument("--admin-port", type=int, default=19901)
    parser.add_argument("--portunus", default=os.path.join(ROOT_FOLDER, "build", "release", "portunus"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portunus-certificates-") as folder:
        authority = Authority()
        for number in range(args.count):
            authority.write(folder, HOST_PATTERN % number)
        write_config(folder, args.count, args.port, args.admin_port)
        measure(args, folder, authority)


if __name__ == "__main__":
    main()

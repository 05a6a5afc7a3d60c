"""One certificate in several files, each with a chain of its own: each site shows what its file has."""

import subprocess

import pytest

from support.certificates import Authority, ask
from support.ports import free_port
from support.waiting import PATIENCE, wait_until

smoke = pytest.mark.smoke


def shown(port, name):
    """How many certificates the server sends."""
    result = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name, "-showcerts"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return result.stdout.count("BEGIN CERTIFICATE")


@smoke
def test_each_file_keeps_its_chain(portunus, tmp_path):
    authority = Authority(tmp_path)
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    pair = authority.make("both", ["a.example", "b.example", "c.example"])
    text = open(pair["cert"], encoding="ascii").read()
    longer, bare = tmp_path / "longer.pem", tmp_path / "bare.pem"
    longer.write_text(text + other.root.read_text())
    bare.write_text(text[:text.index("-----END CERTIFICATE-----") + 26])
    port = free_port()
    files = {"a.example": pair["cert"], "b.example": str(longer), "c.example": str(bare)}
    door = portunus({
        "listeners": {"secure": {"address": f"127.0.0.1:{port}", "tls": True, "protocols": "h1"}},
        "sites": {name: {"respond": {"body": name}, "tls": {"cert": file, "key": pair["key"]}} for name, file in files.items()},
        "threads": 1,  # which shows the new one, or does not yet
    })
    assert [shown(port, name) for name in files] == [2, 3, 1]
    listed = door.json("/v1/certificates")["certificates"]
    assert sorted(each["file"] for each in listed) == sorted(files.values())
    assert len({each["fingerprint"] for each in listed}) == 1
    # Whoever has come for one of them may ask for the other.
    assert ask(port, authority.client(), "a.example", host="b.example")[2] == b"b.example"
    fresh = tmp_path / "fresh.pem"
    fresh.write_text(text + other.root.read_text() + authority.root.read_text())
    fresh.rename(bare)
    wait_until(lambda: shown(port, "c.example") == 4, "the other chain")
    assert [shown(port, name) for name in files] == [2, 3, 4]

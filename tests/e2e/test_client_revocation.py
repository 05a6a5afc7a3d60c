"""Client certificates that their authority has taken back (CRL): they get in no more, by no way."""

import ssl

import pytest

from support.certificates import Authority, open_tls
from support.client_world import World, make_client
from support.door import run_program
from support.waiting import SCALE, wait_until
from support.wire import get

smoke = pytest.mark.smoke
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Revoking(World):
    """The sites of its clients look into a list."""

    def __init__(self, folder, keeper):
        super().__init__(folder, keeper)
        self.file = folder / "revoked.pem"
        self.alice, self.bob = make_client(self.clients, "alice"), make_client(self.clients, "bob")
        self.put()

    def site(self, client_ca=None, client_auth=None, **more):
        site = super().site(client_ca, client_auth, **more)
        if client_ca == self.clients.root:
            site["tls"]["client_crl"] = str(self.file)
        return site

    def put(self, *revoked, text=None, **times):
        fresh = self.folder / "revoked.new"
        fresh.write_text(self.clients.revocations(revoked, **times) if text is None else text)
        fresh.rename(self.file)

    def revoke(self, door, *revoked, **times):
        """And it counts from here on."""
        self.put(*revoked, **times)
        wait_until(lambda: door.metric("portunus_client_crl_revoked_certificates") == len(revoked), "the list counts")


@pytest.fixture
def world(tmp_path, keeper):
    return Revoking(tmp_path, keeper)


@smoke
def test_revoked_clients_are_refused(portunus, world):
    world.put(world.alice)
    door = portunus(world.config())
    for version in VERSIONS:
        for name in ("must.example", "may.example"):
            error = world.refused(name, world.alice, version=version)
            assert error == "closed" or "revoked" in error, error
            assert world.ask(name, world.bob, version=version) == 200
        assert world.ask("may.example", version=version) == 200
    assert {request.header("x-client-cert-subject") for request in world.member.requests} == {"CN=bob.clients", None}
    wait_until(lambda: door.metric("portunus_tls_handshakes_total", result="client_revoked") == 4, "they are counted")
    assert door.metric("portunus_tls_site_handshakes_total", result="client_revoked") == 4
    assert door.metric("portunus_client_crl_last_read_successful", file=str(world.file)) == 1


@smoke
def test_a_new_list_counts_without_a_reload(portunus, world):
    door = portunus(world.config())
    generation = door.generation()
    assert world.ask("must.example", world.alice) == 200
    world.revoke(door, world.alice)
    assert world.refused("must.example", world.alice)
    assert world.ask("must.example", world.bob) == 200
    world.revoke(door)  # a mistake, or a hold that has ended
    assert world.ask("must.example", world.alice) == 200
    assert door.generation() == generation
    wait_until(lambda: f"revoked certificates {world.file} read again: 1" in door.log(), "the log tells of it")


@smoke
def test_connections_that_are_open_are_looked_at_too(portunus, world):
    door = portunus(world.config())
    kept = {}
    for name, certificate in (("alice", world.alice), ("bob", world.bob)):
        kept[name] = open_tls(world.port, world.context(certificate), "must.example")
        kept[name].sendall(get("/", host="must.example"))
        assert kept[name].recv(65536).startswith(b"HTTP/1.1 200")
    world.revoke(door, world.alice)
    count = len(world.member.requests)
    kept["alice"].sendall(get("/", host="must.example"))
    assert kept["alice"].recv(65536).startswith(b"HTTP/1.1 421")
    assert len(world.member.requests) == count
    kept["bob"].sendall(get("/", host="must.example"))
    assert kept["bob"].recv(65536).startswith(b"HTTP/1.1 200")
    for each in kept.values():
        each.close()


def test_an_open_connection_does_not_outlive_the_list(portunus, world):
    world.put(ends=f"+{8 * SCALE}s")
    portunus(world.config())
    with open_tls(world.port, world.context(world.bob), "must.example") as connection:

        def status():
            connection.sendall(get("/", host="must.example"))
            return connection.recv(65536)[9:12]

        assert status() == b"200"
        wait_until(lambda: status() == b"421", "the list has ended")


def test_no_session_of_a_revoked_client_is_resumed(portunus, world):
    door = portunus(world.config())
    context = world.context(world.alice)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # python keeps its session before anything is read
    with open_tls(world.port, context, "must.example") as connection:
        session = connection.session
    with open_tls(world.port, context, "must.example", session) as connection:
        assert not connection.session_reused, "nobody's is"
    world.revoke(door, world.alice)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with open_tls(world.port, context, "must.example", session) as connection:
            connection.recv(1)
    # Nor does a session that was begun where nobody asks.
    with open_tls(world.port, context, "open.example") as connection:
        session = connection.session
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with open_tls(world.port, context, "must.example", session) as connection:
            connection.recv(1)


def test_a_bad_file_keeps_the_list_before(portunus, world):
    world.put(world.alice)
    door = portunus(world.config())
    reloads = door.metric("portunus_config_reloads_total")
    said = 0
    for bad in ("half a list\n", world.others.revocations(), world.clients.revocations(begins="-2d", ends="-1d")):
        world.put(text=bad)
        said += 1
        wait_until(lambda: door.log().count("the list before stays") == said, "the file is refused")
        assert door.metric("portunus_client_crl_last_read_successful") == 0
        assert world.refused("must.example", world.alice)
        assert world.ask("must.example", world.bob) == 200
    world.file.unlink()
    wait_until(lambda: door.log().count("the list before stays") == said + 1, "it is missed")
    assert world.ask("must.example", world.bob) == 200
    world.revoke(door)
    assert door.metric("portunus_client_crl_last_read_successful") == 1
    assert world.ask("must.example", world.alice) == 200
    assert door.metric("portunus_config_reloads_total") == reloads


def test_what_a_list_has_refused_comes_when_the_list_is_right(portunus, world):
    world.put(text="half a list\n")
    door = portunus(world.config({"open.example": world.site()}))
    generation = door.generation()
    door.write(world.config())
    refused = door.reload()
    assert refused.returncode != 0 and "there is no list of revoked certificates in it" in refused.stderr + refused.stdout
    assert door.generation() == generation
    done = door.reloads_done()
    world.put(world.alice)
    wait_until(lambda: door.reloads_done() > done, "the configuration comes by itself")
    assert world.refused("must.example", world.alice)
    assert world.ask("must.example", world.bob) == 200


def test_a_list_is_exchanged_while_the_configuration_is_refused(portunus, world):
    door = portunus(world.config())
    door.write({"sites": {"must.example": {"pool": "nobody's"}}})
    assert door.reload().returncode != 0
    world.revoke(door, world.alice)
    assert world.refused("must.example", world.alice)
    assert world.ask("must.example", world.bob) == 200


def test_a_list_that_has_ended_lets_nobody_in(portunus, world):
    world.put(begins="-2d", ends="-1d")
    door = portunus(world.config())
    wait_until(lambda: "the list has ended" in door.log(), "the log tells of it")
    for version in VERSIONS:
        assert world.refused("must.example", world.bob, version=version)
        assert world.refused("may.example", world.bob, version=version)
    assert world.ask("may.example") == world.ask("open.example") == 200
    wait_until(lambda: door.metric("portunus_tls_handshakes_total", result="client_crl") == 4, "they are counted")
    assert door.metric("portunus_client_crl_next_update_timestamp_seconds") < door.metric("process_start_time_seconds")
    world.revoke(door, world.alice)
    assert world.ask("must.example", world.bob) == 200


def test_one_authority_without_a_list(portunus, world):
    """Of two authorities one has a list: of the other's clients nobody can tell."""
    both = world.folder / "both.pem"
    both.write_text(world.clients.root.read_text() + world.others.root.read_text())
    site = World.site(world, both)
    site["tls"]["client_crl"] = str(world.file)
    # Both authorities have one name: what counts is whose key it is.
    door = portunus(world.config({"must.example": site}))
    carol = make_client(world.others, "carol")
    assert world.ask("must.example", world.bob) == 200
    assert world.refused("must.example", carol)
    wait_until(lambda: door.metric("portunus_tls_handshakes_total", result="client_crl") == 1, "it is counted")
    world.put(text=world.clients.revocations([world.alice]) + world.others.revocations())
    wait_until(lambda: door.metric("portunus_client_crl_revoked_certificates") == 1, "both lists count")
    assert world.ask("must.example", carol) == 200
    assert world.refused("must.example", world.alice)


def test_a_site_that_begins_to_look(portunus, world):
    """What was opened before is not enough."""
    door = portunus(world.config({"must.example": World.site(world, world.clients.root)}))
    kept = open_tls(world.port, world.context(world.alice), "must.example")
    kept.sendall(get("/", host="must.example"))
    assert kept.recv(65536).startswith(b"HTTP/1.1 200")
    world.put(world.alice)
    door.write(world.config({"must.example": world.site(world.clients.root)}))
    assert door.reload().returncode == 0
    kept.sendall(get("/", host="must.example"))
    assert kept.recv(65536).startswith(b"HTTP/1.1 421")
    kept.close()
    assert world.refused("must.example", world.alice)


def test_a_reload_brings_the_newest_list(portunus, world):
    """Also when the file changes together with the configuration, and connections stay."""
    door = portunus(world.config())
    kept = open_tls(world.port, world.context(world.alice), "must.example")
    kept.sendall(get("/", host="must.example"))
    assert kept.recv(65536).startswith(b"HTTP/1.1 200")
    world.put(world.alice)
    door.write(world.config(tls={"min_version": "1.2", "session_tickets": {"rotate": "1h"}}))
    assert door.reload().returncode == 0
    assert world.refused("must.example", world.alice)
    kept.sendall(get("/", host="must.example"))
    assert kept.recv(65536).startswith(b"HTTP/1.1 421")
    kept.close()


def test_check(tmp_path):
    authority = Authority(tmp_path)
    authority.make("a.example")
    (tmp_path / "good.pem").write_text(authority.revocations())
    (tmp_path / "late.pem").write_text(authority.revocations(begins="-2d", ends="-1d"))
    (tmp_path / "soon.pem").write_text(authority.revocations(begins="-2d", ends="+1h"))
    (tmp_path / "bad.pem").write_text("no list\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "strange.pem").write_text(Authority(tmp_path / "other").revocations())

    def check(file):
        config = tmp_path / "checked.yaml"
        config.write_text("sites:\n  a.example:\n    respond: {}\n    tls: { cert: a.example.pem, key: a.example.key, "
                          f"client_ca: authority.pem, client_crl: {file} }}\n")
        return run_program("check", str(config))

    good = check("good.pem")
    assert (good.returncode, good.stderr) == (0, "")
    for file, said in (("no.pem", "the revoked certificates"), ("bad.pem", "there is no list of revoked certificates"),
                       ("strange.pem", "not signed by an authority of `client_ca`")):
        bad = check(file)
        assert bad.returncode == 1 and said in bad.stderr and "checked.yaml:4:" in bad.stderr, bad.stderr
    for file, said in (("late.pem", "the list has ended"), ("soon.pem", "the list ends soon")):
        doubtful = check(file)
        assert doubtful.returncode == 0 and said in doubtful.stderr + doubtful.stdout, doubtful

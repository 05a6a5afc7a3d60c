"""Chromium through the door: a page of 100 resources over HTTP/2 and TLS, resumption, WebSockets over a stream of HTTP/2."""

import json

import pytest

from support import h2_servers
from support.certificates import Authority
from support.chromium import Browser
from support.waiting import wait_until
from support.ws_peers import Server as WsServer

# Names, sizes and how they came of all that the page has loaded; what came of it; and the page's own protocol.
LOADED = """({
  entries: performance.getEntriesByType('resource').map(e => [new URL(e.name).pathname, e.decodedBodySize, e.nextHopProtocol]),
  scripts: window.ran, page: performance.getEntriesByType('navigation')[0].nextHopProtocol,
  images: [...document.images].filter(image => image.complete && image.naturalWidth === 7).length,
  styles: [...document.styleSheets].filter(sheet => sheet.cssRules.length === 1).length,
})"""
TALK = """new Promise((resolve, reject) => {
  const socket = new WebSocket('wss://' + location.host + '/talk?pieces=3');
  const big = new Uint8Array(300000).map((_, i) => i * 7);
  const seen = [];
  socket.binaryType = 'arraybuffer';
  socket.onerror = () => reject('no WebSocket');
  socket.onopen = () => { socket.send('hello'); socket.send(big); socket.send('{"close": [4002, "enough"]}'); };
  socket.onmessage = ({data}) => seen.push(
    typeof data === 'string' ? data : new Uint8Array(data).every((byte, i) => byte === big[i]) && data.byteLength);
  socket.onclose = (end) => resolve([...seen, end.code, end.reason, end.wasClean]);
})"""


def write_page(www):
    """A page of 100 scripts, style sheets and images; their sizes by path."""
    kinds = {
        "js": ("window.ran = (window.ran || 0) + 1; //{}", '<script src="{}"></script>'),
        "css": (".a {{ color: green; }} /*{}*/", '<link rel="stylesheet" href="{}">'),
        "svg": ('<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"><!--{}--></svg>', '<img src="{}">'),
    }
    sizes, tags = {}, []
    for number in range(100):
        kind = list(kinds)[number % 3]
        text, tag = kinds[kind]
        file = www / f"{number}.{kind}"
        file.write_text(text.format("x" * number * 997))
        sizes[f"/{file.name}"] = file.stat().st_size
        tags.append(tag.format(f"/{file.name}"))
    (www / "page.html").write_text("<!doctype html><title>Many</title><link rel=icon href='data:,'>" + "\n".join(tags))
    return sizes


class World:
    """Caddy with the page, a server of WebSockets, the door before both, and a browser."""

    def __init__(self, keeper, requests_per_connection=1000):
        folder = keeper.folder
        files = Authority(folder).make("localhost")
        talker = keeper.keep(WsServer(folder))
        member = keeper.keep(h2_servers.caddy(folder, talker.address))
        self.sizes = write_page(folder / "www")
        self.door = keeper.portunus({
            "front": {"tls": True},
            "limits": {"requests_per_connection": requests_per_connection},
            "tls": {"certificates": [files]},
            "access_log": {"output": "access.log"},
            "sites": {"localhost": {"routes": [{"match": {"path": "/talk"}, "pool": "talk"}, {"pool": "web"}]}},
            "pools": {"web": {"upstreams": [member.address], "protocol": "h2c"}, "talk": {"upstreams": [talker.address]}},
        })
        self.browser = keeper.keep(Browser(folder, files["cert"]))
        self.url = f"https://localhost:{self.door.port}/page.html"

    def check_page(self):
        loaded = self.browser.evaluate(LOADED)
        assert {path: size for path, size, _ in loaded["entries"]} == self.sizes
        assert {protocol for _, _, protocol in loaded["entries"]} | {loaded["page"]} == {"h2"}
        assert (loaded["scripts"], loaded["styles"], loaded["images"]) == (34, 33, 33)

    def requests(self, count):
        """The lines of the access log, when there are so many."""
        file = self.door.folder / "access.log"
        lines = wait_until(lambda: len(lines := file.read_text().splitlines()) >= count and lines, f"{count} requests")
        assert len(lines) == count
        return [json.loads(line) for line in lines]


@pytest.mark.smoke
def test_a_page_of_a_hundred_resources_and_its_reload(keeper):
    world = World(keeper, requests_per_connection=101)
    door = world.door
    world.browser.open(world.url)
    world.check_page()
    first = world.requests(101)
    assert {(each["protocol"], each["status"], each["tls_version"]) for each in first} == {("HTTP/2.0", 200, "TLSv1.3")}
    assert len({each["client_port"] for each in first}) == 1
    # It is told that this connection will take no more, and makes another one, with the session that it has.
    wait_until(lambda: door.metric("portunus_connections_active", listener="front") == 0, "the connection is closed")
    assert door.metric("portunus_tls_handshakes_total", resumed="true") == 0
    world.browser.reload()
    world.check_page()
    again = world.requests(202)[101:]
    assert {(each["protocol"], each["status"]) for each in again} == {("HTTP/2.0", 200)}
    assert {each["client_port"] for each in again}.isdisjoint({each["client_port"] for each in first})
    assert len({each["client_port"] for each in again}) == 1
    assert door.metric("portunus_tls_handshakes_total", resumed="true", result="ok") == 1


@pytest.mark.smoke
def test_a_websocket_over_the_pages_connection(keeper):
    world = World(keeper)
    world.browser.open(world.url)
    assert world.browser.evaluate(TALK) == ["hello", 300000, 4002, "enough", True]
    lines = world.requests(102)
    talk = next(each for each in lines if each["path"] == "/talk")
    assert (talk["protocol"], talk["method"], talk["status"]) == ("HTTP/2.0", "GET", 101)  # as over HTTP/1.1
    assert len({each["client_port"] for each in lines}) == 1

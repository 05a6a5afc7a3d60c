"""The operator's interface: probes, metrics, status; and who may use it."""

import json
import shutil
import subprocess

import pytest

from support.door import one_pool
from support.waiting import wait_until
from support.wire import connect, get, post

pytestmark = pytest.mark.smoke

FAMILIES = {
    "portunus_http_requests_total": "counter",
    "portunus_http_request_duration_seconds": "histogram",
    "portunus_http_response_first_byte_seconds": "histogram",
    "portunus_http_requests_in_flight": "gauge",
    "portunus_http_request_body_bytes_total": "counter",
    "portunus_http_response_body_bytes_total": "counter",
    "portunus_connections_active": "gauge",
    "portunus_connections_total": "counter",
    "portunus_upstream_requests_total": "counter",
    "portunus_upstream_request_duration_seconds": "histogram",
    "portunus_upstream_phase_duration_seconds": "histogram",
    "portunus_upstream_requests_in_flight": "gauge",
    "portunus_upstream_connections": "gauge",
    "portunus_upstream_healthy": "gauge",
    "portunus_upstream_state": "gauge",
    "portunus_upstream_effective_weight": "gauge",
    "portunus_pool_members": "gauge",
    "portunus_pool_queue_length": "gauge",
    "portunus_config_reloads_total": "counter",
    "portunus_config_last_reload_successful": "gauge",
    "portunus_config_last_reload_success_timestamp_seconds": "gauge",
    "portunus_config_generation": "gauge",
    "portunus_config_generations_alive": "gauge",
    "portunus_config_info": "gauge",
    "portunus_build_info": "gauge",
    "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_virtual_memory_bytes": "gauge",
    "process_open_fds": "gauge",
    "process_max_fds": "gauge",
    "process_start_time_seconds": "gauge",
}


@pytest.fixture(scope="module")
def door(module_keeper):
    return module_keeper.portunus(one_pool(module_keeper.upstream()))


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/health", "/ping"])
def test_probes_answer(door, path):
    assert door.admin(path).status == 200


def test_several_requests_on_one_connection(door):
    with connect(door.admin_port) as client:
        for path in ("/livez", "/metrics", "/v1/pools"):
            client.send(get(path, host=f"127.0.0.1:{door.admin_port}"))
            assert client.read_response().status == 200


def test_metrics_are_well_formed_and_complete(door):
    assert door.get().status == 200
    response = door.admin("/metrics")
    assert response.header("content-type").startswith("text/plain; version=0.0.4")
    metrics = door.metrics()
    wrong = {name: metrics.types.get(name) for name, kind in FAMILIES.items() if metrics.types.get(name) != kind}
    assert not wrong, f"missing, or of another type: {wrong}"


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_accepts_the_metrics(door):
    text = door.admin("/metrics").body
    result = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False, timeout=20)
    assert result.returncode == 0, result.stderr


def test_requests_are_counted_once(door):
    name = "portunus_http_requests_total"
    labels = {"listener": "front", "pool": "web", "method": "GET", "code": "200"}
    before = door.metric(name, **labels)
    for _ in range(7):
        assert door.get().status == 200
    wait_until(lambda: door.metric(name, **labels) == before + 7, "seven more requests")
    assert door.metric("portunus_upstream_requests_total", pool="web", code="200") >= 7
    wait_until(lambda: door.metric("portunus_http_requests_in_flight") == 0, "no request")
    wait_until(lambda: door.metric("portunus_upstream_requests_in_flight") == 0, "no request at the member")


def test_labels_do_not_grow_with_what_clients_choose(door):
    for number in range(30):
        door.ask(get(f"/path-{number}?q={number}", host=f"host-{number}.test", method=f"METHOD{number}"))
    text = door.admin("/metrics").body.decode()
    for word in ("path-", "host-", "METHOD"):
        assert word not in text
    assert door.metric("portunus_http_requests_total", method="_OTHER") >= 30


def test_body_bytes_are_counted(door):
    names = ("portunus_http_request_body_bytes_total", "portunus_http_response_body_bytes_total")
    before = [door.metric(name) for name in names]
    assert door.ask(post("/", b"x" * 1000)).body == b"ok"
    wait_until(lambda: [door.metric(name) for name in names] == [before[0] + 1000, before[1] + 2], "1000 in, 2 out")


def test_connections_are_counted(door):
    wait_until(lambda: door.metric("portunus_connections_active") == 0, "nobody is connected")
    before = door.metric("portunus_connections_total")
    clients = [door.connect() for _ in range(3)]
    wait_until(lambda: door.metric("portunus_connections_active") == 3, "three are connected")
    wait_until(lambda: door.metric("portunus_connections_total") == before + 3, "three more have come")
    for client in clients:
        client.close()
    wait_until(lambda: door.metric("portunus_connections_active") == 0, "nobody is connected")


def test_status_and_pools_are_json(door):
    for path in ("/v1/status", "/v1/pools"):
        response = door.admin(path)
        assert response.header("content-type").startswith("application/json")
        json.loads(response.body)
    assert "version" in json.dumps(door.json("/v1/status"))
    assert "web" in json.dumps(door.json("/v1/pools"))


def test_unknown_path_is_a_404(door):
    for path in ("/v1", "/v1/nothing", "/metrics/x"):
        assert door.admin(path).status == 404, path


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/metrics", "/v1/pools", "/livez"])
def test_other_methods_are_refused(door, method, path):
    assert door.admin(path, method, None, "Content-Length: 0").status == 405


def test_head_is_served(door):
    with connect(door.admin_port) as client:
        client.send(get("/livez", host=f"127.0.0.1:{door.admin_port}", method="HEAD"))
        assert client.read_response("HEAD").status == 200


@pytest.mark.parametrize("host", ["evil.test", "evil.test:9180", "127.0.0.1.evil.test", "localhost.evil.test"])
@pytest.mark.parametrize("path", ["/metrics", "/v1/pools", "/v1/status"])
def test_foreign_hosts_are_refused(door, host, path):
    """A page in the operator's browser that rebinds its name to 127.0.0.1 reads nothing."""
    response = door.admin(path, host=host)
    assert response.status in (400, 403, 421), response
    assert b"web" not in response.body


@pytest.mark.parametrize("host", ["localhost", "localhost:{port}", "127.0.0.1:{port}", "127.0.0.1", "[::1]:{port}"])
def test_own_hosts_are_accepted(door, host):
    assert door.admin("/metrics", host=host.format(port=door.admin_port)).status == 200


def test_foreign_pages_are_refused_a_reload(door):
    for fields in (["Origin: http://evil.test"], ["Sec-Fetch-Site: cross-site"]):
        response = door.admin("/v1/config/reload", "POST", None, "Content-Length: 0", *fields)
        assert response.status in (403, 404, 405), response


def test_reload_is_never_a_get(door):
    generation = door.generation()
    assert door.admin("/v1/config/reload").status in (404, 405)
    assert door.generation() == generation


def test_hostile_bytes_do_not_end_it(door):
    two_hosts = b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
    for data in (b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", b"G" * 100_000, two_hosts):
        with connect(door.admin_port) as client:
            client.try_send(data + b"\r\n\r\n")
            client.read_until_end()
    assert door.admin("/livez").status == 200


def test_admin_may_be_switched_off(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member, admin={"listen": "off"}), wait_ready=False)

    def is_serving():
        try:
            return door.get().status == 200
        except OSError:
            return False

    wait_until(is_serving, "serving")
    with pytest.raises(OSError):
        connect(door.admin_port)

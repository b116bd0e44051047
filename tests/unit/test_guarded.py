"""Addresses that people type in lead to the open internet, or no socket is opened."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpcore
import httpx
import pytest

from remote.guarded import AddressRefused, Guard, guarded_client, is_public

PUBLIC = ("8.8.8.8", "1.1.1.1", "2606:4700::1111", "2001:4860:4860::8888", "203.208.41.1")

INSIDE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1",
    "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0",
    "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::", "2002:a9fe:a9fe::", "2001:db8::1",
    "::127.0.0.1", "2001::1", "100::1", "not an address", "",
]  # fmt: skip

_HOSTS = [
    "127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "0177.0.0.1", "017700000001", "2130706433", "0", "0.0.0.0",
    "localhost",
    "10.1", "10.0.0.1", "0xa.0.0.1", "192.168.1", "192.168.257", "0xc0a80001", "169.254.169.254", "0xa9fea9fe", "2852039166",
    "0251.0376.0251.0376", "169.254.43518", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]",
    "[0:0:0:0:0:ffff:7f00:1]", "[64:ff9b::10.0.0.1]", "[fd00:ec2::254]", "[fe80::1]",
]  # fmt: skip
_SHAPES = ("https://{}/", "https://{}:443/x", "https://{}/?a=https://8.8.8.8", "https://{}#8.8.8.8", "HTTPS://{}/")
_BAD_FORMS = [
    "http://8.8.8.8/", "https://8.8.8.8:8443/", "https://8.8.8.8:22/", "ftp://8.8.8.8/", "file:///etc/passwd", "gopher://8.8.8.8/_x",
    "https://user@8.8.8.8/", "https://user:pw@8.8.8.8/", "https://8.8.8.8@127.0.0.1/", "https://8.8.8.8:443@10.0.0.1/",
    "https://@8.8.8.8/",
    "https://8.8.8.8\\@127.0.0.1/", "https://127.0.0.1\\.8.8.8.8/", "https:// 8.8.8.8/", "https://8.8.8.8/\r\nHost: x", "https://8.8.8.8\r\n/",
    "https://8.8.8.8/\x00",
    "https://8.8.8.8\t/", "https://1２7.0.0.1/", "https://①②⑦.⓪.⓪.①/", "https://例子.example/",
    "https://exa mple/",
    "//8.8.8.8/", "8.8.8.8", "", "https://", "https:///x", "https://:443/", "https://8.8.8.8:99999/", "https://8.8.8.8:x/",
    "https://[::1/",
    "https://%31%32%37.0.0.1/", "https://127.0.0.1%2f@8.8.8.8/", "https://.example/", "https://-x.example/",
    "javascript:alert(1)",
    "data:,x",
    "https://8.8.8.8/é",
]  # fmt: skip
CORPUS = [shape.format(host) for shape, host in itertools.product(_SHAPES, _HOSTS)] + _BAD_FORMS


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every attempt to connect is written down and fails."""
    opened: list[str] = []

    def connect(_self: object, host: str, *_: object, **__: object) -> None:
        opened.append(host)
        raise httpcore.ConnectError("the test opens none")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    return opened


def test_no_socket_is_opened_for_an_address_inside(no_sockets: list[str]) -> None:
    """Two hundred ways of writing what is meant to stay unreachable."""
    assert len(CORPUS) >= 190
    with guarded_client(Guard()) as client:
        for url in CORPUS:
            with pytest.raises((AddressRefused, httpx.InvalidURL, httpx.UnsupportedProtocol)):
                client.get(Guard().check_url(url))
    assert no_sockets == []


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_not_of_the_open_internet_is_not_public(address: str) -> None:
    """Also when it is wrapped in another family."""
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_called_by_that_very_address(address: str, no_sockets: list[str]) -> None:
    """A guard that refuses everything guards nothing."""
    assert is_public(address)
    guard = Guard(resolve=lambda _host, _port: [address])
    with guarded_client(guard) as client, pytest.raises(httpx.TransportError):
        client.get("https://sso.example/x")
    assert no_sockets == [address]


def test_a_name_that_means_something_else_a_moment_later_gains_nothing(no_sockets: list[str]) -> None:
    """The address that was looked at is the one that is called; and one bad one among good ones is enough."""
    answers: Iterator[list[str]] = iter([["8.8.8.8"], ["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], []])
    guard = Guard(resolve=lambda _host, _port: next(answers))
    with guarded_client(guard) as client:
        with pytest.raises(httpx.TransportError):
            client.get("https://rebind.example/")
        for _ in range(3):
            with pytest.raises(AddressRefused):
                client.get("https://rebind.example/")
    assert no_sockets == ["8.8.8.8"]


def test_a_place_of_the_campus_that_is_named_may_be_called_and_its_redirects_lead_nowhere() -> None:
    """The school's own provider often lies inside; its neighbours stay unreachable."""

    class Redirects(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Redirects)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    place = f"127.0.0.1:{server.server_port}"
    try:
        with guarded_client(Guard([place])) as client:
            assert client.get(f"http://{place}/").status_code == 302
            with socket.socket() as other, pytest.raises(AddressRefused):
                other.bind(("127.0.0.1", 0))
                client.get(f"http://127.0.0.1:{other.getsockname()[1]}/")
        with guarded_client(Guard()) as client, pytest.raises(AddressRefused):
            client.get(f"http://{place}/")
    finally:
        server.shutdown()
        server.server_close()

"""Downloads from servers that are silent, slow, endless or cut off are given up in time and leave no file."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bionets.tasks import download as module
from bionets.tasks.download import download

CONTENT = bytes(range(256)) * 400
MD5 = hashlib.md5(CONTENT).hexdigest()
ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT)
ENOUGH = 10_000_000


def silent(client: socket.socket) -> None:
    time.sleep(20)


def slow_headers(client: socket.socket) -> None:
    for byte in ANSWER * 100:
        client.sendall(bytes([byte]))
        time.sleep(0.1)


def slow_body(client: socket.socket) -> None:
    client.sendall(ANSWER)
    for byte in CONTENT:
        client.sendall(bytes([byte]))
        time.sleep(0.1)


def endless(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    while True:
        client.sendall(bytes(100_000))


def cut(client: socket.socket) -> None:
    client.sendall(ANSWER + CONTENT[:5000])


def whole(client: socket.socket) -> None:
    client.sendall(ANSWER + CONTENT)


class Server:
    """Answers each connection as the next of its behaviours says, the last one for ever."""

    def __init__(self, *behaviours: Callable[[socket.socket], None]) -> None:
        self.behaviours = list(behaviours)
        self.connections = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/file"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            behaviour = self.behaviours[min(self.connections, len(self.behaviours) - 1)]
            self.connections += 1
            threading.Thread(target=self._answer, args=(client, behaviour), daemon=True).start()

    def _answer(self, client: socket.socket, behaviour: Callable[[socket.socket], None]) -> None:
        with client:
            try:
                client.recv(10_000)
                behaviour(client)
            except OSError:
                pass


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(module, "SILENT_SECONDS", 1)
    monkeypatch.setattr(module, "WINDOW_SECONDS", 1.0)
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (0.01, 0.01))
    servers: list[Server] = []

    def start(*behaviours: Callable[[socket.socket], None]) -> Server:
        servers.append(Server(*behaviours))
        return servers[-1]

    yield start
    for server in servers:
        server.socket.close()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bad", [silent, slow_headers, slow_body, endless, cut], ids=lambda each: each.__name__)
def test_the_next_server_is_tried_after_a_faulty_one(
    tmp_path: Path, serve: Callable[..., Server], bad: Callable[[socket.socket], None]
) -> None:
    download([serve(bad).url, serve(whole).url], tmp_path / "file", MD5, len(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bad", [silent, slow_headers, slow_body, endless, cut], ids=lambda each: each.__name__)
def test_no_file_is_left_if_every_server_is_faulty(
    tmp_path: Path, serve: Callable[..., Server], bad: Callable[[socket.socket], None]
) -> None:
    server = serve(bad)
    with pytest.raises(ConnectionError, match=server.url):
        download([server.url], tmp_path / "file", MD5, ENOUGH)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_fails_is_tried_again(tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve(cut, cut, whole)
    download([server.url], tmp_path / "file", MD5, ENOUGH)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.connections == 3


def test_a_server_with_the_wrong_file_is_not_tried_again(tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve(whole)
    with pytest.raises(ConnectionError, match="checksum"):
        download([server.url], tmp_path / "file", "0" * 32, ENOUGH)
    assert server.connections == 1


@pytest.mark.slow
def test_ctrl_c_ends_a_download_and_leaves_no_file(tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve(silent)
    code = (
        "import pathlib, signal; from bionets.tasks.download import download;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "print('ready', flush=True);"
        f"download([{server.url!r}], pathlib.Path({str(tmp_path / 'file')!r}), '', 10)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    while server.connections == 0:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=15)  # the server says nothing for 20 seconds
    assert "KeyboardInterrupt" in error
    assert list(tmp_path.iterdir()) == []

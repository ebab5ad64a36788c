"""Downloads over HTTP on the loopback interface: complete files are kept, others never get their final name."""

import gzip
import math
import multiprocessing
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from bionets.tasks import download, image_formats
from bionets.tasks.image_files import IMAGE_FILES, fetch, read
from bionets.tasks.image_formats import read_idx

from . import idx_files


class Mirror:
    """A server of files; ``mode`` says what is wrong with it."""

    def __init__(self, files: dict[str, bytes], mode: str = "whole") -> None:
        self.requests: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.lstrip("/")
                mirror.requests.append(name)
                if mode == "missing":
                    self.send_error(404)
                    return
                content = files[name]
                announced = len(content)
                if mode == "wrong":
                    content = bytes(reversed(content))
                elif mode == "truncated":
                    content = content[: announced // 2]
                    announced = len(content)
                elif mode == "cut":
                    content = content[: announced // 2]
                self.send_response(200)
                self.send_header("Content-Length", str(announced))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def files() -> dict[str, bytes]:
    return idx_files.contents()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Mirror]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "BACKOFF_SECONDS", (0.01, 0.01))
    mirrors: list[Mirror] = []

    def start(files: dict[str, bytes], mode: str = "whole") -> Mirror:
        mirrors.append(Mirror(files, mode))
        return mirrors[-1]

    yield start
    for mirror in mirrors:
        mirror.server.shutdown()
        mirror.server.server_close()


def dead_mirror() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} - {".lock"}


def test_files_are_downloaded_and_read(tmp_path: Path, files: dict[str, bytes], serve: Callable[..., Mirror]) -> None:
    published = idx_files.published_at(serve(files).url, files=files)
    paths = fetch(published, tmp_path)
    assert [path.read_bytes() for path in paths] == list(files.values())
    images, labels = read(published, tmp_path, "train")
    assert images.shape == (60, 28, 28) and images.dtype == torch.uint8
    assert labels.tolist() == [k % 10 for k in range(60)]
    assert len(read(published, tmp_path, "test")[0]) == 30


@pytest.mark.parametrize("mode", ["wrong", "truncated", "cut", "missing", "dead"])
def test_the_next_mirror_is_tried_if_one_fails(
    tmp_path: Path, files: dict[str, bytes], serve: Callable[..., Mirror], mode: str
) -> None:
    bad = dead_mirror() if mode == "dead" else serve(files, mode).url
    published = idx_files.published_at(bad, serve(files).url, files=files)
    assert [path.read_bytes() for path in fetch(published, tmp_path)] == list(files.values())


@pytest.mark.parametrize("mode", ["wrong", "truncated", "cut", "missing", "dead"])
def test_no_file_is_left_if_all_mirrors_fail_and_the_error_gives_a_remedy(
    tmp_path: Path, files: dict[str, bytes], serve: Callable[..., Mirror], mode: str
) -> None:
    bad = dead_mirror() if mode == "dead" else serve(files, mode).url
    published = idx_files.published_at(bad, files=files)
    with pytest.raises(ConnectionError, match=f"{idx_files.NAMES[0]} of mnist.*{bad}.*BIONETS_DATA") as caught:
        fetch(published, tmp_path)
    assert ("checksum" in str(caught.value)) == (mode in ("wrong", "truncated"))
    assert "\n" not in str(caught.value)
    assert names_in(tmp_path / "mnist") == set()


def test_a_later_call_downloads_only_the_missing_files(
    tmp_path: Path, files: dict[str, bytes], serve: Callable[..., Mirror]
) -> None:
    first, *rest = files
    with pytest.raises(ConnectionError):
        half = serve({first: files[first], **dict.fromkeys(rest, b"")})
        fetch(idx_files.published_at(half.url, files=files), tmp_path)
    assert names_in(tmp_path / "mnist") == {first}
    mirror = serve(files)
    fetch(idx_files.published_at(mirror.url, files=files), tmp_path)
    assert mirror.requests == rest


@pytest.mark.parametrize("unzipped", [False, True])
def test_existing_files_need_no_network_and_no_checksum(
    tmp_path: Path, files: dict[str, bytes], unzipped: bool
) -> None:
    published = idx_files.published_at(dead_mirror(), files=dict.fromkeys(files, b"other bytes"))
    (tmp_path / "mnist").mkdir()
    for name, content in files.items():
        content = gzip.decompress(content) if unzipped else content
        (tmp_path / "mnist" / (name.removesuffix(".gz") if unzipped else name)).write_bytes(content)
    (tmp_path / "mnist").chmod(0o555)
    images, _ = read(published, tmp_path, "train")
    assert torch.equal(images, read_idx(fetch(published, tmp_path)[0]))


def test_concurrent_processes_download_each_file_once(
    tmp_path: Path, files: dict[str, bytes], serve: Callable[..., Mirror]
) -> None:
    mirror = serve(files)
    published = idx_files.published_at(mirror.url, files=files)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=fetch, args=(published, tmp_path)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 4
    assert mirror.requests == list(files)
    assert [(tmp_path / "mnist" / name).read_bytes() for name in files] == list(files.values())


def test_qmnist_labels_are_their_first_column(tmp_path: Path) -> None:
    rows = torch.arange(40, dtype=torch.int32).view(5, 8)
    pictures = torch.zeros(5, 28, 28, dtype=torch.uint8)
    (tmp_path / "qmnist").mkdir()
    for name in IMAGE_FILES["qmnist"].files:
        content = idx_files.idx(rows, 12) if "labels" in name else idx_files.idx(pictures)
        (tmp_path / "qmnist" / name).write_bytes(gzip.compress(content))
    assert read(IMAGE_FILES["qmnist"], tmp_path, "test")[1].tolist() == [0, 8, 16, 24, 32]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-100],
        lambda content: gzip.compress(gzip.decompress(content)[:-1]),
        lambda content: gzip.compress(gzip.decompress(content) + b"x"),
        lambda content: b"<html>not found</html>",
        lambda content: gzip.compress(b"\0\0\x08\x03"),
        lambda content: b"",
    ],
)
def test_a_damaged_file_is_refused_by_name(
    tmp_path: Path, files: dict[str, bytes], damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(damage(files[idx_files.NAMES[0]]))
    with pytest.raises(ValueError, match=f"{path}.*delete it"):
        read_idx(path)


def test_a_file_that_unpacks_to_far_more_than_it_says_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    few = idx_files.idx(torch.zeros(2, 3, dtype=torch.uint8))
    with gzip.open(path, "wb") as file:
        file.write(few)
        for _ in range(16):
            file.write(bytes(4 * 1024 * 1024))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"more than 6.*delete it"):
        read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    tracemalloc.stop()


@pytest.mark.parametrize("shape", [(2**31 - 1, 2**31 - 1), (-5, 3), (2**30, 2)])
def test_a_file_that_claims_a_huge_size_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    (tmp_path / "images").write_bytes(struct.pack(">BBBB2i", 0, 0, 8, 2, *shape))
    assert math.prod(shape) < 0 or math.prod(shape) > image_formats.MOST_IDX_BYTES
    with pytest.raises(ValueError, match="claims to hold"):
        read_idx(tmp_path / "images")


def test_the_published_checksums_are_all_different() -> None:
    checksums = [md5 for files in IMAGE_FILES.values() for md5 in files.files.values()]
    assert len(set(checksums)) == len(checksums) == 20 and all(len(md5) == 32 for md5 in checksums)
    assert all(files.mirrors and all(m.endswith("/") for m in files.mirrors) for files in IMAGE_FILES.values())

"""Atomic download of files over HTTP, with limits of time and size."""

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import requests
from rich.progress import Progress

CONNECT_SECONDS, SILENT_SECONDS = 10, 30  # until a server answers, and between two packets
SLOWEST, WINDOW_SECONDS = 1_000, 30.0  # bytes per second, on average over each window
MOST_SECONDS = 6 * 3600.0  # maximum duration of the download of a file
BACKOFF_SECONDS = (2.0, 8.0)  # pause before the second and the third round over all servers
CHUNK = 8 * 1024


class WrongFile(ValueError):
    """A server sent another file. This server is not asked again."""


def download(urls: Sequence[str], file: Path, md5: str | None, most_bytes: int) -> None:
    """Download a file from the first of several servers that provides it with the right checksum.

    If a server cannot be reached, stops sending or is too slow, the next server is used. If all servers fail, all are
    asked again after a pause, at most twice. The file gets its final name once it is complete: it has as many bytes as
    the server announced and, unless ``md5`` is None, the right checksum.

    Raises:
        ConnectionError: no server provided the file; the message gives the error of each server.
    """
    for left in file.parent.glob(f".{file.name}.*.partial"):  # left by a process that was killed
        left.unlink(missing_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    failures: dict[str, str] = {}
    given_up: set[str] = set()
    try:
        for pause in (0.0, *BACKOFF_SECONDS):
            time.sleep(pause)
            for url in urls:
                if url in given_up:
                    continue
                try:
                    _try(url, partial, md5, most_bytes)
                    partial.replace(file)
                    return
                except PermissionError:
                    raise
                except (WrongFile, OSError) as error:  # the errors of requests are OSErrors
                    failures[url] = _first_words(error)
                    if isinstance(error, WrongFile):
                        given_up.add(url)
            if len(given_up) == len(urls):
                break
    finally:
        partial.unlink(missing_ok=True)
    raise ConnectionError("; ".join(f"{url}: {why}" for url, why in failures.items()))


def _try(url: str, partial: Path, md5: str | None, most_bytes: int) -> None:
    """Download into ``partial``, or raise the error that occurred."""
    transfer = _Transfer(url, partial, most_bytes)
    transfer.start()
    started = window = time.monotonic()
    received = 0
    try:
        with Progress(transient=True) as bar:
            shown = bar.add_task(url.rpartition("/")[2], total=None)
            while not transfer.ended.wait(0.2):
                now = time.monotonic()
                bar.update(shown, completed=transfer.received, total=transfer.announced)
                if now - window >= WINDOW_SECONDS:
                    if transfer.received - received < SLOWEST * WINDOW_SECONDS:
                        raise TimeoutError(f"fewer than {SLOWEST} bytes a second")
                    window, received = now, transfer.received
                if now - started > MOST_SECONDS:
                    raise TimeoutError(f"not there after {MOST_SECONDS:.0f} seconds")
    finally:
        transfer.stopped = True  # also on Ctrl-C: the thread then ends, at the latest when its server times out
    if transfer.error is not None:
        raise transfer.error
    if md5 is not None and transfer.md5 != md5:
        raise WrongFile("its checksum is wrong")
    if transfer.announced not in (None, transfer.received):
        raise ConnectionError(f"{transfer.received} of {transfer.announced} bytes were received")


class _Transfer(threading.Thread):
    """Reads from a server in a separate thread, so that the waiting thread can stop at any time, also while a host name
    is resolved or while headers arrive slowly.
    """

    def __init__(self, url: str, partial: Path, most_bytes: int) -> None:
        super().__init__(daemon=True)
        self.url, self.partial, self.most_bytes = url, partial, most_bytes
        self.received = 0
        self.announced: int | None = None
        self.md5 = ""
        self.error: Exception | None = None
        self.stopped, self.ended = False, threading.Event()

    def run(self) -> None:
        try:
            self._run()
        except Exception as error:  # passed to the waiting thread
            self.error = error
        finally:
            self.ended.set()

    def _run(self) -> None:
        digest = hashlib.md5(usedforsecurity=False)  # the publishers provide MD5 checksums
        headers = {"Accept-Encoding": "identity"}  # the files are already compressed
        timeouts = (CONNECT_SECONDS, SILENT_SECONDS)
        with requests.get(self.url, stream=True, timeout=timeouts, headers=headers) as response:
            if 400 <= response.status_code < 500:
                raise WrongFile(f"{response.status_code} {response.reason}")
            response.raise_for_status()
            announced = response.headers.get("Content-Length", "")
            self.announced = int(announced) if announced.isdigit() else None
            with self.partial.open("wb") as file:
                for chunk in response.iter_content(CHUNK):
                    if self.stopped:
                        return
                    self.received += len(chunk)
                    if self.received > self.most_bytes:
                        raise WrongFile(f"it is longer than {self.most_bytes} bytes")
                    file.write(chunk)
                    digest.update(chunk)
        self.md5 = digest.hexdigest()


def _first_words(error: Exception) -> str:
    words = " ".join(str(error).split())[:100]
    return words if isinstance(error, WrongFile | TimeoutError) else f"{type(error).__name__} {words}"

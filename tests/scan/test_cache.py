"""The folder of compiled kernels: files that others may have written and damaged files are not loaded."""

import os
import random
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from bionets.scan.cpu import cache
from bionets.scan.warn_once import warn_once

KEY, OTHER = "0" * 32, "1" * 32
CONTENT = random.Random(0).randbytes(5000)

posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners and modes are those of POSIX")
as_root = pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")


@pytest.fixture(autouse=True)
def forget_warnings() -> Iterator[None]:
    warn_once.cache_clear()
    yield
    warn_once.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    chosen = tmp_path / "kernels"
    monkeypatch.setenv("BIONETS_CACHE", str(chosen))
    return chosen


def stored(folder: Path, key: str = KEY) -> Path:
    """The file of a kernel that has just been written."""
    cache.write(key, CONTENT)
    assert cache.read(key) == CONTENT
    return folder / f"{key}.kernel"


def test_only_stored_keys_are_found_and_files_are_private(folder: Path) -> None:
    assert cache.read(KEY) is None
    file = stored(folder)
    assert cache.read(OTHER) is None
    assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 and stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0
    assert [path.name for path in folder.iterdir()] == [file.name]


def test_a_tilde_in_the_name_of_the_folder_is_the_home_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shells expand it, but not in quotes, and files of settings do not."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("BIONETS_CACHE", "~/kernels")
    stored(tmp_path / "kernels")
    assert (tmp_path / "kernels" / f"{KEY}.kernel").is_file()


def test_any_damage_of_a_kernel_file_is_detected(folder: Path) -> None:
    file = stored(folder)
    whole = file.read_bytes()
    generator = random.Random(1)
    for start in [*range(0, 80), *(generator.randrange(len(whole)) for _ in range(200))]:
        length = generator.choice([1, 1, 2, 7, 100])
        end = min(start + length, len(whole))
        flipped = bytes(byte ^ generator.randrange(1, 256) for byte in whole[start:end])
        file.write_bytes(whole[:start] + flipped + whole[end:])
        assert cache.read(KEY) is None
        file.write_bytes(whole[:start])
        assert cache.read(KEY) is None
        file.write_bytes(whole + whole[start:end])
        assert cache.read(KEY) is None
    file.write_bytes(whole)
    assert cache.read(KEY) == CONTENT


def test_a_kernel_under_the_name_of_another_is_not_loaded(folder: Path) -> None:
    file = stored(folder)
    file.rename(folder / f"{OTHER}.kernel")
    assert cache.read(OTHER) is None


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_that_others_may_write_is_not_used_and_gives_one_warning(folder: Path, mode: int) -> None:
    file = stored(folder)
    folder.chmod(mode)
    with pytest.warns(UserWarning, match="kernels is not yours alone to write"):
        assert cache.read(KEY) is None
    file.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.write(KEY, CONTENT)
        assert cache.read(KEY) is None
    assert not file.exists()


@posix
def test_a_folder_below_one_that_others_may_write_is_not_used(folder: Path) -> None:
    file = stored(folder)
    folder.parent.chmod(0o777)
    with pytest.warns(UserWarning, match="not yours alone to write"):
        assert cache.read(KEY) is None
    folder.parent.chmod(0o1777)  # as /tmp: only the owner may rename or remove what is his
    assert cache.read(KEY) == CONTENT
    file.chmod(0o666)
    assert cache.read(KEY) is None


@as_root
@pytest.mark.parametrize("planted", ["folder", "parent", "file"])
def test_files_and_folders_of_another_user_are_not_used(folder: Path, planted: str) -> None:
    file = stored(folder)
    folder.parent.chmod(0o1777)
    os.chown({"folder": folder, "parent": folder.parent, "file": file}[planted], 12345, 12345)
    if planted == "file":
        assert cache.read(KEY) is None
        cache.write(KEY, CONTENT)  # replaced by the user's own
        assert cache.read(KEY) == CONTENT
    else:
        with pytest.warns(UserWarning, match="not yours alone to write"):
            assert cache.read(KEY) is None


@posix
def test_links_and_pipes_are_not_followed(folder: Path, tmp_path: Path) -> None:
    file = stored(folder)
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert cache.read(KEY) is None
    cache.write(KEY, CONTENT)
    assert cache.read(KEY) == CONTENT and not file.is_symlink() and elsewhere.read_bytes() == file.read_bytes()
    file.unlink()
    os.mkfifo(file)
    assert cache.read(KEY) is None
    file.unlink()
    file.mkdir()
    assert cache.read(KEY) is None
    cache.write(KEY, CONTENT)


@posix
def test_a_link_to_a_folder_is_checked_like_the_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(folder)
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.setenv("BIONETS_CACHE", str(tmp_path / "link"))
    assert cache.read(KEY) == CONTENT
    folder.chmod(0o777)
    with pytest.warns(UserWarning):
        assert cache.read(KEY) is None


def test_the_least_recently_used_kernels_are_deleted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIONETS_CACHE_SIZE", str(3.5 * len(CONTENT) / (1 << 20)))
    folder.mkdir()
    mine = folder / "thesis.txt"
    mine.write_bytes(bytes(10 * len(CONTENT)))
    (folder / ".unfinished-abc").write_bytes(CONTENT)  # of a process that was killed
    os.utime(folder / ".unfinished-abc", (1, 1))
    os.utime(mine, (1, 1))
    for number in range(5):
        cache.write(f"{number:032}", CONTENT)
        os.utime(folder / f"{number:032}.kernel", (100 + number, 100 + number))
        if number == 2:
            assert cache.read(f"{0:032}") == CONTENT  # and so it is used last
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["thesis.txt", *(f"{number:032}.kernel" for number in (0, 3, 4))]
    )


@pytest.mark.parametrize("size", ["0", "1e-9"])
def test_a_cache_size_of_zero_keeps_no_kernel(folder: Path, monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    monkeypatch.setenv("BIONETS_CACHE_SIZE", size)
    cache.write(KEY, CONTENT)
    assert cache.read(KEY) is None


@pytest.mark.parametrize("size", ["much", "nan", "inf"])
def test_a_cache_size_that_is_not_a_number_gives_a_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    monkeypatch.setenv("BIONETS_CACHE_SIZE", size)
    with pytest.warns(UserWarning, match="BIONETS_CACHE_SIZE must be a number of MiB"):
        cache.write(KEY, CONTENT)
    assert cache.read(KEY) == CONTENT


def test_a_folder_that_cannot_be_created_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        monkeypatch.setenv("BIONETS_CACHE", str(place))
        cache.write(KEY, CONTENT)
        assert cache.read(KEY) is None


SCRIPT = """
import torch
from bionets.scan import scan
x = torch.linspace(-1, 1, 30).view(5, 2, 3)
def step(x, h, params):
    h = torch.tanh(h + x)
    return h, h
y, _ = scan(step, x, torch.zeros(2, 3), backend="cpu")
torch.testing.assert_close(y, scan(step, x, torch.zeros(2, 3), backend="reference")[0])
"""


@pytest.mark.slow
def test_damaged_kernels_never_crash_a_process(folder: Path) -> None:
    """Every kernel of a folder is damaged at a random place several times, while processes use the folder."""

    def run() -> None:
        environment = os.environ | {"BIONETS_CACHE": str(folder)}
        subprocess.run([sys.executable, "-c", SCRIPT], env=environment, check=True, timeout=120)

    run()
    generator = random.Random(2)
    for _ in range(4):
        for file in folder.iterdir():
            content = bytearray(file.read_bytes())
            start = generator.randrange(len(content))
            content[start : start + 8] = generator.randbytes(8)
            file.write_bytes(content[: generator.choice([len(content), start])])
        run()

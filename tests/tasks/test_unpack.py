"""Archives are unpacked completely or not at all, never outside of their folder, and never beyond a size limit."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from bionets.tasks import archives as module
from bionets.tasks import event_files
from bionets.tasks.archives import unpack
from bionets.tasks.event_files import EVENT_FILES, recordings

from . import event_recordings


def archive_of(file: Path, members: dict[str, bytes], compressed: bool = False) -> Path:
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def test_only_the_requested_folder_is_unpacked(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", {"Train/0/a.bin": b"a", "Train/1/b.bin": b"b", "readme.txt": b"c"})
    unpack(archive, tmp_path / "set" / "Train")
    found = {str(path.relative_to(tmp_path)) for path in (tmp_path / "set").rglob("*") if path.is_file()}
    assert found == {"set/Train/0/a.bin", "set/Train/1/b.bin"}
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["Train"]


def test_an_archive_within_an_archive_is_unpacked(tmp_path: Path) -> None:
    inner = archive_of(tmp_path / "inner.zip", {"Set/x/a.bin": b"a"}).read_bytes()
    archive = archive_of(tmp_path / "outer.zip", {"downloads/inner.zip": inner})
    unpack(archive, tmp_path / "Set", inner="inner.zip")
    assert (tmp_path / "Set" / "x" / "a.bin").read_bytes() == b"a"


@pytest.mark.parametrize("name", ["../out.bin", "/tmp/out.bin", "Train/../../out.bin", "Train\\..\\out.bin"])
def test_member_names_outside_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    archive = archive_of(tmp_path / "a.zip", {"Train/a.bin": b"a", name: b"b"})
    with pytest.raises(ValueError, match="outside its folder"):
        unpack(archive, tmp_path / "set" / "Train")
    assert list((tmp_path / "set").iterdir()) == []


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("Train/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc")
    with pytest.raises(ValueError, match="outside its folder"):
        unpack(tmp_path / "a.zip", tmp_path / "Train")


def test_archives_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archive_of(tmp_path / "a.zip", {"Train/a.bin": bytes(10_000_000)}, compressed=True)
    with pytest.raises(ValueError, match="would unpack from"):
        unpack(archive, tmp_path / "Train")
    many = archive_of(tmp_path / "b.zip", {f"Train/{n}": b"" for n in range(11)})
    monkeypatch.setattr(module, "MOST_MEMBERS", 10)
    with pytest.raises(ValueError, match="11 members"):
        unpack(many, tmp_path / "Train")
    assert not (tmp_path / "Train").exists()


def test_a_header_with_a_false_size_is_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", {"Train/a.bin": bytes(1_000_000)}, compressed=True)
    content = archive.read_bytes().replace((1_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    archive.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        unpack(archive, tmp_path / "Train")
    assert not (tmp_path / "Train").exists()


def test_a_damaged_archive_leaves_no_files(tmp_path: Path) -> None:
    whole = archive_of(tmp_path / "a.zip", {f"Train/{n}.bin": bytes([n]) * 500 for n in range(9)}).read_bytes()
    for damaged in (whole[:2000], whole.replace(bytes([7]) * 500, bytes([7]) * 499 + b"x"), b""):
        (tmp_path / "a.zip").write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            unpack(tmp_path / "a.zip", tmp_path / "set" / "Train")
        assert list((tmp_path / "set").iterdir()) == []


def test_an_interrupted_unpacking_leaves_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = EVENT_FILES["n_mnist"]
    event_recordings.write(tmp_path / "made")
    members = {
        str(path.relative_to(tmp_path / "made" / "NMNIST")): path.read_bytes()
        for path in (tmp_path / "made" / "NMNIST" / "Train").rglob("*")
        if path.is_file()
    }
    (tmp_path / "NMNIST").mkdir()
    archive_of(tmp_path / "NMNIST" / "train.zip", members)

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "copyfileobj", interrupted)
        with pytest.raises(KeyboardInterrupt):
            recordings(files, tmp_path, "train")
    assert not (tmp_path / "NMNIST" / "Train").exists()
    assert len(recordings(files, tmp_path, "train")) == 40


def test_a_set_with_recordings_missing_is_refused(tmp_path: Path) -> None:
    event_recordings.write(tmp_path)
    for files in EVENT_FILES.values():
        for split, folder in zip(("train", "test"), files.folders, strict=True):
            there = len(recordings(files, tmp_path, split))
            (tmp_path / folder / event_files.SUBSET).unlink(missing_ok=True)
            with pytest.raises(ValueError, match=f"holds {there} of .*SUBSET"):
                recordings(files, tmp_path, split)
            (tmp_path / folder / event_files.SUBSET).touch()


def test_many_small_members_are_copied_whole(tmp_path: Path) -> None:
    contents = {f"Train/{n % 3}/{n}.bin": io.BytesIO(bytes([n]) * n).getvalue() for n in range(200)}
    unpack(archive_of(tmp_path / "a.zip", contents, compressed=True), tmp_path / "Train")
    assert {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*.bin")} == contents


def tar_of(file: Path, members: dict[str, bytes], link: str | None = None) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        if link is not None:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc"
            archive.addfile(member)
    return file


def test_a_tar_is_unpacked_like_a_zip(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", {"./Train/0/a.bin": b"a", "./Train/1/b.bin": b"b", "readme.txt": b"c"})
    unpack(archive, tmp_path / "set" / "Train")
    found = {str(path.relative_to(tmp_path)): path for path in (tmp_path / "set").rglob("*") if path.is_file()}
    assert set(found) == {"set/Train/0/a.bin", "set/Train/1/b.bin"}
    assert found["set/Train/1/b.bin"].read_bytes() == b"b"


def test_only_the_requested_file_is_unpacked(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", {"data/a.h5": b"content", "a.h5/other": b"x"})
    unpack(archive, tmp_path / "set" / "a.h5")
    assert (tmp_path / "set" / "a.h5").read_bytes() == b"content"
    with pytest.raises(ValueError, match=r"holds no file b\.h5"):
        unpack(archive, tmp_path / "set" / "b.h5")


@pytest.mark.parametrize("name", ["../out.bin", "/tmp/out.bin", "Train/../../out.bin", ""])
def test_member_names_of_a_tar_outside_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    for archive in (
        tar_of(tmp_path / "a.tar.gz", {"Train/a.bin": b"a", name: b"b"}),
        tar_of(tmp_path / "b.tar.gz", {"Train/a.bin": b"a"}, link="Train/link"),
    ):
        with pytest.raises(ValueError, match="outside its folder"):
            unpack(archive, tmp_path / "set" / "Train")
        assert list((tmp_path / "set").iterdir()) == []


CONFLICTS = (("Train/a", "Train/a/b"), ("Train/a/b", "Train/a"), ("Train/a", "Train/" + 300 * "x"), ("Train/a", "."))


@pytest.mark.parametrize("names", CONFLICTS)
def test_members_that_cannot_be_written_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    members = dict.fromkeys(names, b"a")
    for archive in (tar_of(tmp_path / "a.tar.gz", members), archive_of(tmp_path / "a.zip", members)):
        with pytest.raises(ValueError, match=r"a\.(zip|tar\.gz) has a member that cannot be written \('") as error:
            unpack(archive, tmp_path / "set" / "Train")
        assert ".unpacking" not in str(error.value)
        assert list((tmp_path / "set").iterdir()) == []


def test_a_damaged_or_too_large_tar_leaves_no_files(tmp_path: Path) -> None:
    random = bytes(index * 7919 % 251 for index in range(9000))
    whole = tar_of(tmp_path / "a.tar.gz", {f"Train/{n}.bin": random for n in range(3)}).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no archive"):
        (tmp_path / "a.tar.gz").write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            unpack(tmp_path / "a.tar.gz", tmp_path / "set" / "Train")
    too_much = tar_of(tmp_path / "b.tar.gz", {"Train/a.bin": bytes(10_000_000)})
    with pytest.raises(ValueError, match="would unpack from"):
        unpack(too_much, tmp_path / "set" / "Train")
    assert list((tmp_path / "set").iterdir()) == []


def test_a_tar_with_other_bytes_than_its_checksum_is_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", {"Train/a.bin": b"a"})
    content = bytearray(archive.read_bytes())
    content[-8] ^= 1  # the last eight bytes are checksum and size
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.tar\.gz is damaged \(CRC check failed"):
        unpack(archive, tmp_path / "set" / "Train")
    assert list((tmp_path / "set").iterdir()) == []

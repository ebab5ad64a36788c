"""The folder of a run, from which evaluate, compare, resume and figures read everything."""

import json
import secrets
import string
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from pydantic import BaseModel

from bionets.atomic import write_atomically
from bionets.experiment.errors import Busy, UserError
from bionets.experiment.run.manifest import ACCEPT, fault_of, manifest_of, read_manifest
from bionets.experiment.run.manifest import NAME as MANIFEST
from bionets.experiment.run.names import require_component
from bionets.experiment.run.run_files import (
    CompleteResultFile,
    ConfigFile,
    EnvironmentFile,
    MirrorFile,
    ResultFile,
    validated,
)
from bionets.experiment.run.safe_read import PlainDumper, read_plain


class RunFolder:
    """``<output_dir>/<task>/<model>/<name>-<hash>/seed-<n>/`` and its files. Nothing is written before `open`."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.yaml"
        self.overrides_file = self.path / "overrides.yaml"
        self.environment_file = self.path / "environment.json"
        self.metrics_file = self.path / "metrics.csv"
        self.result_file = self.path / "result.json"
        self.manifest_file = self.path / MANIFEST
        self.wandb_file = self.path / "wandb.json"
        self.checkpoints = self.path / "checkpoints"
        self.figures = self.path / "figures"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"
        self._settings: dict[Path, str] = {}  # what `open` wrote

    @classmethod
    def of(cls, config: dict[str, Any], digest: str) -> "RunFolder":
        """The folder of a resolved config with this digest. Raises UserError if a name is not one path component."""
        task = require_component("task.name", config["task"]["name"])
        model = require_component("model.name", config["model"]["name"])
        name = require_component("name", config["name"])
        root = Path(config["paths"]["output_dir"])
        return cls(root / task / model / f"{name}-{digest}" / f"seed-{config['seed']}")

    @classmethod
    def existing(cls, path: Path | str) -> "RunFolder":
        """The folder at a path that the user gave. Raises UserError if it is not a run folder."""
        folder = cls(path)
        if not folder.config_file.is_file():
            seeds = sorted(file.parent.name for file in folder.path.glob("*/config.yaml"))
            name = f"one of the folders in it, {', '.join(seeds)}" if seeds else "the folder that train.py printed"
            raise UserError(f"{path} is not a run folder (it has no config.yaml): name {name}")
        return folder

    def config(self) -> dict[str, Any]:
        return self._read(self.config_file, ConfigFile)

    def environment(self) -> dict[str, Any]:
        """The content of ``environment.json``; empty if it does not exist."""
        return self._read(self.environment_file, EnvironmentFile) if self.environment_file.exists() else {}

    def class_names(self) -> dict[str, Any]:
        """The class names of the user's own data, as passed to `CustomData`; empty if the run did not store them."""
        found: dict[str, Any] = self.environment().get("class_names", {})
        return found

    def columns(self) -> list[str]:
        """The columns of the user's own CSV that are inputs, in their order; empty if the run did not store them."""
        found: list[str] = self.environment().get("columns", [])
        return found

    def require_seed(self, seed: int) -> None:
        """Raise UserError if the folder was copied from that of another seed. A damaged config is no obstacle: `open`
        writes it again.
        """
        try:
            found = self.config()["seed"] if self.config_file.exists() else seed
        except UserError:
            return
        if found != seed:
            raise UserError(f"{self.config_file} says seed {found}: name the folder seed-{found}, or delete it")

    def require_class_names(self, now: Mapping[str, Any] | None) -> None:
        """Raise UserError if a run to be resumed was started with other classes than those of the data now."""
        before = self.class_names()
        if before and json.dumps(before) != json.dumps(now):
            raise UserError(
                f"the classes of task.data have changed since {self.path} began: train it anew under another name"
            )

    def result(self) -> dict[str, Any] | None:
        """The content of ``result.json``; None if it does not exist yet."""
        if not self.result_file.exists():
            return None
        result = self._read(self.result_file, ResultFile)
        return validated(self.result_file, result, CompleteResultFile) if result["status"] == "complete" else result

    def complete(self) -> bool:
        result = self.result()
        return result is not None and result["status"] == "complete"

    def figure_files(self) -> list[Path]:
        """The figures as png, by name."""
        return sorted(self.figures.glob("*.png"))

    def analysis(self) -> Path:
        """The folder for the output of ``analyse.py``; see `without_links`."""
        return self.without_links(self.path / "analysis")

    def without_links(self, folder: Path) -> Path:
        """Return a folder for output. Raises UserError for a link in it, which could lead anywhere."""
        _refuse_links(folder, *folder.rglob("*"))
        return folder

    def checkpoint(self, which: str) -> Path:
        """The file of the ``best`` or the ``last`` epoch. Raises UserError for another word."""
        if which not in ("best", "last"):
            raise UserError(f"checkpoint={which} is unknown: choose best or last")
        return self.best if which == "best" else self.last

    def require_unchanged(self, file: Path) -> None:
        """Raise UserError if a file of a complete run was changed after the run had written it."""
        known = read_manifest(self.path).get(file.relative_to(self.path).as_posix())
        if known and (fault := fault_of(file, known)):
            raise UserError(f"{file} {fault}: {ACCEPT}")

    def changed_files(self, contents: bool = True) -> dict[str, str]:
        """The files of a complete run that were changed after the run had written them, by path within the folder, with
        the fault of each; ``contents=False`` compares only sizes.
        """
        found = {name: fault_of(self.path / name, known, contents) for name, known in read_manifest(self.path).items()}
        return {name: fault for name, fault in found.items() if fault is not None}

    def write_result(self, result: dict[str, Any]) -> None:
        """Write ``result.json``; for a complete run, write the manifest of its files before."""
        content = json.dumps({"format": 1, **result}, indent=2) + "\n"
        if result["status"] == "complete":
            self._restore_settings()
            files = (self.metrics_file, *sorted(self.path.glob("*.npz")), self.best, self.last, *self._settings)
            manifest = manifest_of(self.path, files, {self.result_file.name: content.encode()})
            write_atomically(self.manifest_file, manifest)
        else:  # that of a complete result which could not be written
            self.manifest_file.unlink(missing_ok=True)
        write_atomically(self.result_file, content)

    def _restore_settings(self) -> None:
        """Write files that describe the run again if they were deleted or changed during training."""
        for file, content in self._settings.items():
            if not file.is_file() or file.read_bytes() != content.encode():
                write_atomically(file, content)

    def _read(self, file: Path, kind: type[BaseModel]) -> Any:
        content = read_plain(file)
        self.require_unchanged(file)
        return validated(file, content, kind)

    @contextmanager
    def open(self, config: dict[str, Any], overrides: list[str], environment: dict[str, Any]) -> Iterator[None]:
        """Create the folder and lock it. The operating system releases the lock when the process ends.

        Raises:
            UserError: the folder has a link in it.
            Busy: another process is training the run, or has just completed it.
        """
        _refuse_links(*(each for each in self.path.rglob("*") if self.path / "wandb" not in each.parents))
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock", timeout=0, thread_local=False)
        try:
            held = lock.acquire()
        except Timeout as error:
            raise Busy(
                f"another process is training {self.path}: wait for it, or choose another seed or name"
            ) from error
        with held:
            if self.complete():
                raise Busy(f"another process has just completed {self.path}: the same command shows its results")
            for left in self.path.rglob(".*.partial"):  # by a process that was killed while it wrote
                left.unlink(missing_ok=True)
            self.result_file.unlink(missing_ok=True)
            self.manifest_file.unlink(missing_ok=True)
            self._settings = {
                self.config_file: yaml.dump({"format": 1, **config}, Dumper=PlainDumper, sort_keys=False),
                self.overrides_file: yaml.dump(overrides, Dumper=PlainDumper),
                self.environment_file: json.dumps(environment, indent=2) + "\n",
            }
            for file, content in self._settings.items():
                write_atomically(file, content)
            yield

    def wandb_id(self) -> str:
        """The id of the run at W&B, created on the first call and stored in the folder."""
        if not self.wandb_file.exists():
            alphabet = string.ascii_lowercase + string.digits
            identity = "".join(secrets.choice(alphabet) for _ in range(8))
            write_atomically(self.wandb_file, json.dumps({"id": identity}) + "\n")
        return self.mirror_id(self.wandb_file)

    def mirror_id(self, file: Path) -> str:
        """The id of the run at the service of a logger, which stored it in this file."""
        return self._read(file, MirrorFile)["id"]


def _refuse_links(*places: Path) -> None:
    """A UserError where one of them is a link: in a folder from somebody else, it could lead anywhere."""
    for place in places:
        if place.is_symlink():
            raise UserError(f"{place} is a link, which no run makes: replace it by the file or folder that it names")

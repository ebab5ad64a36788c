"""A long compilation is logged once."""

import logging

import pytest
import torch
from torch import Tensor

from bionets.scan import compile_time, scan
from bionets.scan.compile_time import compiling


@pytest.fixture(autouse=True)
def first_time(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(compile_time, "_total", 0.0)
    monkeypatch.setattr(compile_time, "_logged", False)
    monkeypatch.setattr(compile_time.logger, "propagate", True)
    caplog.set_level(logging.INFO, "bionets.scan")


def test_a_long_compilation_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = iter([0.0, 0.6, 10.0, 10.7, 20.0, 25.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    said = []
    for _ in range(3):
        with compiling():
            pass
        said.append(len(caplog.records))
    assert said == [0, 1, 1]
    assert "1.3 s" in caplog.text


def test_a_kernel_from_the_disk_is_not_compiled_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: object
) -> None:
    from bionets.scan.cpu import cache, compile, kernels

    monkeypatch.setattr(compile_time, "SECONDS", -1.0)
    monkeypatch.setenv("BIONETS_CACHE", str(tmp_path))
    said = []
    for _ in range(2):
        monkeypatch.setattr(compile, "_functions", {})
        monkeypatch.setattr(kernels, "_kernels", {})
        monkeypatch.setattr(compile_time, "_logged", False)
        caplog.clear()
        run_once()
        said.append(bool(caplog.records))
    assert cache.folder() is not None
    assert said == [True, False]


def run_once() -> None:
    def step(x: Tensor, h: Tensor, params: tuple[()]) -> tuple[Tensor, Tensor]:
        h = 0.123 * h + x.tanh().square()
        return h, h

    scan(step, torch.randn(3, 2, 4), torch.zeros(2, 4), (), backend="cpu")

"""Process-wide settings of a run are restored when it ends."""

import logging
import os
import random
import warnings

import numpy as np
import pytest
import torch
from lightning import Trainer, seed_everything
from torch._inductor import config as inductor

from bionets.experiment.run.isolation import isolated
from bionets.layers.denormals import flushes_denormals


def state() -> tuple[object, ...]:
    """All settings of a process that one run could leave to the next."""
    return (
        dict(os.environ),
        random.getstate(),
        np.random.get_state()[1].tobytes(),  # noqa: NPY002
        torch.get_rng_state().numpy().tobytes(),
        list(warnings.filters),
        logging.getLogger().level,
        list(logging.getLogger().handlers),
        torch.are_deterministic_algorithms_enabled(),
        inductor.deterministic,
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.get_float32_matmul_precision(),
        torch.is_anomaly_enabled(),
        torch.is_anomaly_check_nan_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        flushes_denormals(),
    )


def disturb() -> None:
    seed_everything(3, workers=True, verbose=False)
    os.environ["ONE_OF_A_KIND"] = "1"
    Trainer(deterministic=True, benchmark=not torch.backends.cudnn.benchmark, logger=False, accelerator="cpu")
    torch.set_float32_matmul_precision("medium")
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_grad_enabled(False)
    torch.set_flush_denormal(not flushes_denormals())
    torch.autograd.set_detect_anomaly(True, check_nan=False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.deterministic = not torch.backends.cudnn.deterministic
    torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002
    warnings.filterwarnings("ignore", message="one of a kind")
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger().setLevel(logging.CRITICAL)


def test_process_wide_settings_are_restored_after_a_run() -> None:
    before = state()
    with isolated():
        disturb()
        assert sum(now != then for now, then in zip(state(), before, strict=True)) == len(before)
    assert state() == before


def test_process_wide_settings_are_restored_after_a_failed_run() -> None:
    before = state()
    with pytest.raises(ValueError, match="wrong"), isolated():
        disturb()
        raise ValueError("wrong")
    assert state() == before

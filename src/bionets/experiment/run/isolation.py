"""Global settings restored after a run, so that the next run in the process starts from the same state."""

import gc
import logging
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from bionets.layers.denormals import flushes_denormals


@contextmanager
def isolated() -> Iterator[None]:
    """At the end of the context, restore the environment, the random generators, the root logger, the warnings and the
    settings of PyTorch, and collect garbage.
    """
    environment = dict(os.environ)
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    torch_before = _torch_settings()
    python_random, numpy_random = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with warnings.catch_warnings(), torch.random.fork_rng():
            yield
    finally:
        random.setstate(python_random)
        np.random.set_state(numpy_random)  # noqa: NPY002
        os.environ.clear()
        os.environ.update(environment)
        root.setLevel(level)
        root.handlers[:] = handlers
        _restore_torch(torch_before)
        gc.collect()  # a Trainer and its model refer to each other


def _torch_settings() -> dict[str, Any]:
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "matmul_precision": torch.get_float32_matmul_precision(),
        "anomalies": torch.is_anomaly_enabled(),
        "check_nan": torch.is_anomaly_check_nan_enabled(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "flush_denormals": flushes_denormals(),
    }


def _restore_torch(before: dict[str, Any]) -> None:
    torch.use_deterministic_algorithms(before["deterministic"], warn_only=before["warn_only"])
    torch.backends.cudnn.benchmark = before["cudnn_benchmark"]
    torch.backends.cudnn.deterministic = before["cudnn_deterministic"]
    torch.set_float32_matmul_precision(before["matmul_precision"])
    torch.autograd.set_detect_anomaly(before["anomalies"], before["check_nan"])
    torch.set_default_dtype(before["dtype"])
    torch.set_num_threads(before["threads"])
    torch.set_grad_enabled(before["gradients"])
    torch.set_flush_denormal(before["flush_denormals"])

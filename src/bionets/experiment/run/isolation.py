"""Global settings restored after a run, so that the next run in the process starts from the same state."""

import gc
import logging
import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch

from bionets.layers.denormals import flushes_denormals

TORCH_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (  # functions that read and that restore
    (  # `torch.set_deterministic_debug_mode` would leave the setting of torch.compile as it is
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        lambda values: torch.use_deterministic_algorithms(values[0], warn_only=values[1]),
    ),
    (lambda: torch.backends.cudnn.benchmark, partial(setattr, torch.backends.cudnn, "benchmark")),
    (lambda: torch.backends.cudnn.deterministic, partial(setattr, torch.backends.cudnn, "deterministic")),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda values: torch.autograd.set_detect_anomaly(*values),
    ),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (flushes_denormals, torch.set_flush_denormal),
)


@contextmanager
def isolated() -> Iterator[None]:
    """At the end of the context, restore the environment, the random generators, the root logger, the warnings and the
    settings of PyTorch, and collect garbage.
    """
    environment = dict(os.environ)
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    torch_before = [(restore, read()) for read, restore in TORCH_SETTINGS]
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
        for restore, value in torch_before:
            restore(value)
        gc.collect()  # a Trainer and its model refer to each other

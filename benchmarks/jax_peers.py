"""The same training steps in JAX: the recurrence by ``jax.lax.scan``, the whole step compiled by XLA for the CPU.

As JAX's documentation recommends, products of the input are outside the scan, one ``jit`` contains the forward pass,
the backward pass and the optimizer, and its buffers are donated.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.timing import Run

Parameters = dict[str, Any]
Cell = Callable[[Parameters, Any], Any]


def copy_first_input(cell: str, length: int, batch: int, hidden: int, layers: int) -> Run:
    """One training step of copy-first-input with layers of a cell in `LAYERS`: loss, gradients, Adam."""
    import jax
    import jax.numpy as jnp

    layer = LAYERS[cell]
    random = np.random.default_rng(0)
    weights = [recurrent_weights(cell, hidden if number else 1, hidden, random) for number in range(layers)]
    readout = {"weight": random.normal(size=(1, hidden)) / hidden**0.5, "bias": np.zeros(1)}
    parameters = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), {"layers": weights, "readout": readout})
    x = jnp.asarray(random.normal(size=(length, batch, 1)), jnp.float32)

    def loss(parameters: Any) -> Any:
        output = x
        for weight in parameters["layers"]:
            output = layer(weight, output)
        prediction = output[-1] @ parameters["readout"]["weight"].T + parameters["readout"]["bias"]
        return jnp.mean((prediction - x[0]) ** 2)

    def train(parameters: Any, moments: Any, step: Any) -> tuple[Any, Any, Any]:
        return *adam(parameters, jax.grad(loss)(parameters), moments, step), step + 1

    compiled = jax.jit(train, donate_argnums=(0, 1))
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = (parameters, (zeros, jax.tree.map(jnp.zeros_like, parameters)), jnp.ones(()))

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(compiled(*state))

    return run


def recurrent_weights(cell: str, inputs: int, hidden: int, random: np.random.Generator) -> Parameters:
    gates, recurrent, biases = {
        "BRC": (3, (2, hidden), 2),
        "nBRC": (3, (2 * hidden, hidden), 2),
        "GRU": (3, (3 * hidden, hidden), 4),
        "LSTM": (4, (4 * hidden, hidden), 4),
    }[cell]
    return {
        "input": random.normal(size=(gates * hidden, inputs)) / hidden**0.5,
        "recurrent": random.normal(size=recurrent) / hidden**0.5,
        "bias": np.zeros((biases, hidden)),
    }


def brc(weights: Parameters, x: Any) -> Any:
    """``[T, B, I]`` to ``[T, B, H]``."""
    return bistable(weights, x, lambda h: (weights["recurrent"][0] * h, weights["recurrent"][1] * h))


def nbrc(weights: Parameters, x: Any) -> Any:
    """``[T, B, I]`` to ``[T, B, H]``."""
    import jax.numpy as jnp

    return bistable(weights, x, lambda h: jnp.split(h @ weights["recurrent"].T, 2, axis=-1))


def bistable(weights: Parameters, x: Any, memory: Callable[[Any], Any]) -> Any:
    import jax
    import jax.numpy as jnp

    def step(h: Any, drive: Any) -> tuple[Any, Any]:
        candidate, drive_a, drive_c = jnp.split(drive, 3, axis=-1)
        memory_a, memory_c = memory(h)
        a = 1 + jnp.tanh(drive_a + memory_a + weights["bias"][0])
        c = jax.nn.sigmoid(drive_c + memory_c + weights["bias"][1])
        h = c * h + (1 - c) * jnp.tanh(candidate + a * h)
        return h, h

    hidden = weights["bias"].shape[1]
    return jax.lax.scan(step, jnp.zeros((x.shape[1], hidden), x.dtype), x @ weights["input"].T)[1]


def gru(weights: Parameters, x: Any) -> Any:
    """``[T, B, I]`` to ``[T, B, H]``."""
    import jax
    import jax.numpy as jnp

    bias = weights["bias"]

    def step(h: Any, drive: Any) -> tuple[Any, Any]:
        drive_r, drive_z, drive_n = jnp.split(drive, 3, axis=-1)
        memory_r, memory_z, memory_n = jnp.split(h @ weights["recurrent"].T, 3, axis=-1)
        r = jax.nn.sigmoid(drive_r + memory_r + bias[0])
        z = jax.nn.sigmoid(drive_z + memory_z + bias[1])
        h = (1 - z) * jnp.tanh(drive_n + bias[2] + r * (memory_n + bias[3])) + z * h
        return h, h

    return jax.lax.scan(step, jnp.zeros((x.shape[1], bias.shape[1]), x.dtype), x @ weights["input"].T)[1]


def lstm(weights: Parameters, x: Any) -> Any:
    """``[T, B, I]`` to ``[T, B, H]``."""
    import jax
    import jax.numpy as jnp

    bias = weights["bias"]

    def step(state: Any, drive: Any) -> tuple[Any, Any]:
        h, c = state
        i, f, g, o = jnp.split(drive + h @ weights["recurrent"].T + bias.reshape(-1), 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((x.shape[1], bias.shape[1]), x.dtype)
    return jax.lax.scan(step, (zeros, zeros), x @ weights["input"].T)[1]


LAYERS: dict[str, Cell] = {"BRC": brc, "nBRC": nbrc, "GRU": gru, "LSTM": lstm}


def adam(parameters: Any, gradients: Any, moments: Any, step: Any) -> tuple[Any, Any]:
    """Adam with PyTorch's defaults and a learning rate of 1e-3."""
    import jax
    import jax.numpy as jnp

    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], gradients)

    def updated(parameter: Any, m: Any, v: Any) -> Any:
        return parameter - 1e-3 * (m / (1 - 0.9**step)) / (jnp.sqrt(v / (1 - 0.999**step)) + 1e-8)

    return jax.tree.map(updated, parameters, first, second), (first, second)


def lif(size: tuple[int, int, int], beta: float, theta: float) -> Run:
    """Forward and backward of traceTorch's LIB with a straight-through round, as `benchmarks.cells.lib_round`."""
    import jax
    import jax.numpy as jnp

    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=size), jnp.float32)
    output_gradient = jnp.asarray(random.normal(size=size), jnp.float32)
    raw = (
        jnp.full(size[2:], np.log(beta / (1 - beta)), jnp.float32),
        jnp.full(size[2:], np.log(np.expm1(theta)), jnp.float32),
    )

    @jax.jit
    def differentiate(x: Any, raw: Any, output_gradient: Any) -> Any:
        output, pull_back = jax.vjp(lib, x, *raw)
        return output, pull_back(output_gradient)

    def run() -> None:
        jax.block_until_ready(differentiate(x, raw, output_gradient))

    return run


def lib(x: Any, raw_beta: Any, raw_theta: Any) -> Any:
    """``[T, B, N]`` to spikes ``[T, B, N]``."""
    import jax
    import jax.numpy as jnp

    beta, theta = jax.nn.sigmoid(raw_beta), jax.nn.softplus(raw_theta)

    def step(membrane: Any, x: Any) -> tuple[Any, Any]:
        membrane = beta * membrane + x
        probability = jax.nn.sigmoid(4 * (membrane - theta))
        spike = probability + jax.lax.stop_gradient(jnp.round(probability) - probability)
        return membrane - spike * theta, spike

    return jax.lax.scan(step, jnp.zeros(x.shape[1:], x.dtype), x)[1]

"""Delays in dense_scan, against a loop over time that keeps every state."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bionets.scan import dense_scan, split_gates, surrogate
from bionets.scan.graph import UnsupportedStepError
from tests.scan.cells import nbrc, peephole_gates, peephole_output

H = 5


def firing(x: Tensor, recurrent: Tensor, state: Any, params: Tensor) -> Any:
    _, v = state
    v = params * v + x + recurrent
    spike = surrogate.arctan(v - 0.5)
    return spike, (spike, v - 0.5 * spike)


def soft(x: Tensor, recurrent: Tensor, state: Any, params: Tensor) -> Any:
    _, v = state
    v = params * v + torch.tanh(x + recurrent)
    y = torch.sigmoid(v)
    return y, (y, v - 0.2 * y)


CELLS: dict[str, Any] = {
    "firing": (firing, 1, 2),
    "soft": (soft, 1, 2),
    "nbrc": (nbrc, 3, 1),
    "lstm": ((peephole_gates, peephole_output), 4, 4),
}
WEIGHTS = {"firing": [H], "soft": [H], "nbrc": [2 * H], "lstm": [4 * H, 3 * H]}


def leaves_of(name: str, time: int, batch: int, count: int, dtype: torch.dtype) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    _, gates, states = CELLS[name]
    shapes = {"x": (time, batch, gates * H), "params": (H,), "lags": (count, H), "past": (count - 1, batch, H)}
    shapes |= {f"state{i}": (batch, H) for i in range(states)}
    shapes |= {f"weight{i}": (rows, H) for i, rows in enumerate(WEIGHTS[name])}
    return {
        key: (0.7 * torch.randn(shape, generator=random)).to(dtype).requires_grad_() for key, shape in shapes.items()
    }


def run(name: str, leaves: dict[str, Tensor], **options: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
    step, gates, states = CELLS[name]
    x = split_gates(leaves["x"], gates) if gates > 1 else leaves["x"]
    state = tuple(leaves[f"state{i}"] for i in range(states))
    params = () if name in ("nbrc", "lstm") else leaves["params"]
    weights = tuple(leaves[f"weight{i}"] for i in range(len(WEIGHTS[name])))
    y, last = dense_scan(
        step,
        x,
        state if states > 1 else state[0],
        params,
        weights if len(weights) > 1 else weights[0],
        lags=leaves["lags"],
        past=leaves["past"],
        **options,
    )
    return y, last if isinstance(last, tuple) else (last,)


def naive(name: str, leaves: dict[str, Tensor], lengths: Tensor | None, reverse: bool) -> list[Tensor]:
    """One sequence after the other, one step after the other, with all first states in a list."""
    step, gates, states = CELLS[name]
    steps = step if isinstance(step, tuple) else (step,)
    time, batch = leaves["x"].shape[:2]
    columns, finals = [], []
    for b in range(batch):
        end = time if lengths is None else int(lengths[b])
        state: Any = tuple(leaves[f"state{i}"][b] for i in range(states))
        past = [*leaves["past"][:, b], state[0]]
        outputs = {}
        for t in reversed(range(end)) if reverse else range(end):
            heard = sum(lag * past[-1 - d] for d, lag in enumerate(leaves["lags"]))
            x = leaves["x"][t, b]
            now: Any = state if states > 1 else state[0]
            for k, stage in enumerate(steps):
                first = heard if k == 0 else now[0]
                product = (leaves[f"weight{k}"] @ first).split(H)
                given = x.split(H) if gates > 1 else x
                params = () if name in ("nbrc", "lstm") else leaves["params"]
                y, now = stage(given, product if len(product) > 1 else product[0], now, params)
            state = now if states > 1 else (now,)
            past.append(state[0])
            outputs[t] = y
        columns.append(torch.stack([outputs.get(t, leaves["x"].new_zeros(H)) for t in range(time)]))
        finals.append(state)
    return [torch.stack(columns, 1), *(torch.stack(each) for each in zip(*finals, strict=True))]


def with_gradients(results: list[Tensor], leaves: dict[str, Tensor]) -> list[Tensor]:
    loss = sum((leaf * torch.arange(leaf.numel(), dtype=leaf.dtype).view(leaf.shape).cos()).sum() for leaf in results)
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return [*results, *gradients]


def check(name: str, backend: str, time: int, batch: int, count: int, **options: Any) -> None:
    leaves = leaves_of(name, time, batch, count, torch.float64)
    lengths, reverse = options.get("lengths"), options.get("reverse", False)
    expected = with_gradients(naive(name, leaves, lengths, reverse), leaves)
    y, state = run(name, leaves, backend=backend, **options)
    found = with_gradients([y, *state], leaves)
    keys = ["y", *(f"final {i}" for i in range(len(state))), *leaves]
    for key, one, other in zip(keys, found, expected, strict=True):
        torch.testing.assert_close(one, other, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize(
    "options", [{}, {"reverse": True}, {"lengths": [9, 4, 0]}, {"lengths": [9, 4, 0], "reverse": True}], ids=str
)
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_delays_agree_with_a_loop_that_keeps_every_state(backend: str, name: str, options: dict[str, Any]) -> None:
    options = {key: torch.tensor(value) if key == "lengths" else value for key, value in options.items()}
    check(name, backend, 9, 3, 4, **options)


@given(st.integers(1, 12), st.integers(1, 20), st.integers(1, 30), st.booleans())
@settings(max_examples=15)
def test_any_number_of_lags_agrees_with_the_loop(time: int, batch: int, count: int, reverse: bool) -> None:
    check("soft", "cpu", time, batch, count, reverse=reverse)


def test_gradients_pass_gradcheck_in_float64() -> None:
    leaves = leaves_of("soft", 5, 2, 3, torch.float64)

    def outputs(*values: Tensor) -> tuple[Tensor, ...]:
        y, state = run("soft", dict(zip(leaves, values, strict=True)), backend="cpu")
        return (y, *state)

    assert torch.autograd.gradcheck(outputs, tuple(leaves.values()))


def test_wide_layers_in_float32_agree_with_the_reference() -> None:
    torch.manual_seed(0)
    x, h, lags = torch.randn(30, 33, 70), torch.randn(33, 70), torch.rand(20, 70, requires_grad=True)
    weight, past = (torch.randn(70, 70) / 20).requires_grad_(), torch.randn(19, 33, 70, requires_grad=True)

    def step(x: Tensor, recurrent: Tensor, h: Tensor, _: Any) -> Any:
        h = torch.tanh(0.5 * h + x + recurrent)
        return h, h

    found = []
    for backend in ("cpu", "reference"):
        y, _ = dense_scan(step, x, h, (), weight, lags=lags, past=past, backend=backend)
        found.append([y, *torch.autograd.grad(y.square().sum(), (lags, weight, past))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_a_single_lag_equals_a_scan_without_delays() -> None:
    leaves = leaves_of("nbrc", 6, 2, 1, torch.float32)
    leaves["lags"] = torch.ones(1, H)
    y, _ = run("nbrc", leaves, backend="cpu")
    x = split_gates(leaves["x"], 3)
    expected, _ = dense_scan(nbrc, x, leaves["state0"], (), leaves["weight0"], backend="cpu")
    torch.testing.assert_close(y, expected)


def test_a_sequence_in_pieces_equals_one_pass() -> None:
    leaves = leaves_of("soft", 9, 2, 4, torch.float64)
    whole, (first, _) = run("soft", leaves, backend="cpu")
    found, past, state = [], leaves["past"], (leaves["state0"], leaves["state1"])
    for begin, end in ((0, 2), (2, 3), (3, 9)):
        now = {**leaves, "x": leaves["x"][begin:end], "past": past, "state0": state[0], "state1": state[1]}
        y, new = run("soft", now, backend="cpu")
        past, state = torch.cat((past, state[0][None], y))[-4:-1], new
        found.append(y)
    torch.testing.assert_close(torch.cat(found), whole)
    torch.testing.assert_close(state[0], first)


def test_vmap_agrees_with_single_calls() -> None:
    leaves = leaves_of("soft", 6, 2, 3, torch.float64)
    several = {key: torch.stack((leaf, 2 * leaf, -leaf)).detach() for key, leaf in leaves.items()}
    y = torch.vmap(lambda *values: run("soft", dict(zip(leaves, values, strict=True)), backend="cpu")[0])
    expected = [run("soft", {key: leaf[i] for key, leaf in several.items()}, backend="reference")[0] for i in range(3)]
    torch.testing.assert_close(y(*several.values()), torch.stack(expected))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_an_input_that_is_the_same_for_all_samples_may_be_read_in_reverse_with_lengths(backend: str) -> None:
    x, lags, lengths = torch.randn(5, 1, H), torch.rand(2, H), torch.tensor([5, 2, 0])

    def step(x: Tensor, recurrent: Tensor, h: Tensor, params: Any) -> tuple[Tensor, Tensor]:
        h = torch.tanh(x + recurrent + 0.5 * h)
        return h, h

    options = {"lengths": lengths, "reverse": True, "lags": lags, "backend": backend}
    found = dense_scan(step, x, torch.zeros(3, H), (), torch.eye(H), **options)
    expected = dense_scan(step, x.expand(5, 3, H).clone(), torch.zeros(3, H), (), torch.eye(H), **options)
    torch.testing.assert_close(found, expected)


def test_invalid_lags_past_and_reset_are_refused() -> None:
    leaves = leaves_of("firing", 4, 2, 3, torch.float32)
    for change, message in (
        ({"lags": torch.ones(3, H + 1)}, r"lags must be \[L, H\] with H = 5"),
        ({"past": torch.zeros(3, 2, H)}, r"past must be \[L - 1, B, H\] = \[2, 2, 5\]"),
    ):
        with pytest.raises(ValueError, match=message):
            run("firing", {**leaves, **change})

    def step(x: Tensor, recurrent: Tensor, h: Tensor, params: Any) -> tuple[Tensor, Tensor]:
        return x + recurrent, x + recurrent

    x, state = torch.ones(4, 2, H), torch.zeros(2, H)
    with pytest.raises(ValueError, match="past holds the first states before the initial state for lags"):
        dense_scan(step, x, state, (), torch.eye(H), past=torch.zeros(1, 2, H))
    with pytest.raises(TypeError, match="lags must be a tensor, got a float"):
        run("firing", {**leaves, "lags": 1.0})
    with pytest.raises(ValueError, match=r"weight must be \[G \* H, H\]"):
        dense_scan(step, x, state, (), torch.ones(0, H, H))
    with pytest.raises(ValueError, match="no reset together with lags"):
        run("firing", leaves, reset=torch.zeros(4, 2, dtype=torch.bool))


def test_a_step_whose_first_state_is_not_its_output_runs_on_the_reference() -> None:
    def hidden(x: Tensor, recurrent: Tensor, h: Tensor, _: Any) -> Any:
        h = torch.tanh(h + x + recurrent)
        return 2 * h, h

    x, h, weight, lags = torch.randn(4, 2, H), torch.zeros(2, H), torch.randn(H, H), torch.ones(2, H)
    with pytest.raises(UnsupportedStepError, match="the first state must be y"):
        dense_scan(hidden, x, h, (), weight, lags=lags, backend="cpu")
    with pytest.warns(UserWarning, match="the first state must be y"):
        y, _ = dense_scan(hidden, x, h, (), weight, lags=lags)
    expected, _ = dense_scan(hidden, x, h, (), weight, lags=lags, backend="reference")
    torch.testing.assert_close(y, expected)


@pytest.mark.slow
def test_delays_in_torch_compile_agree_with_the_reference() -> None:
    leaves = leaves_of("soft", 6, 2, 3, torch.float64)
    compiled = torch.compile(lambda: run("soft", leaves, backend="cpu")[0], backend="aot_eager", fullgraph=True)
    wanted = [leaves["lags"], leaves["past"], leaves["weight0"]]
    found = []
    for y in (compiled(), run("soft", leaves, backend="reference")[0]):
        found.append([y, *torch.autograd.grad(y.square().sum(), wanted)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_a_weight_for_each_lag_runs_on_the_reference(backend: str) -> None:
    leaves = leaves_of("soft", 6, 2, 3, torch.float64)
    weight = leaves["lags"].unsqueeze(1) * leaves["weight0"]
    state = (leaves["state0"], leaves["state1"])
    y, _ = dense_scan(soft, leaves["x"], state, leaves["params"], weight, past=leaves["past"], backend=backend)
    torch.testing.assert_close(y, run("soft", leaves, backend="reference")[0])
    for options in ({"backend": "cpu"}, {"lags": leaves["lags"]}):
        with pytest.raises(ValueError, match="weight for each lag"):
            dense_scan(soft, leaves["x"], state, leaves["params"], weight, **options)

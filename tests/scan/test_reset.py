"""Resets within a sequence: the numbers of running its pieces apart, each from the initial state."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._pytree import tree_leaves

from bionets.scan import scan
from tests.scan.cells import BATCH, CELLS, RAGGED, TIME, leaves_of

NAMES = ("brc", "named", "arctan", "nbrc", "recurrent_spiking", "peephole_lstm")
OPTIONS: list[dict[str, Any]] = [
    {},
    {"reverse": True},
    {"checkpoint_every": 4},
    {"lengths": RAGGED},
    {"lengths": RAGGED, "reverse": True, "checkpoint_every": 2},
]
MASK = torch.rand(TIME, BATCH, generator=torch.Generator().manual_seed(2)) < 0.4


def is_state(name: str, leaf: str) -> bool:
    shape = CELLS[name].leaves[leaf]
    return shape[:1] == (BATCH,) and leaf not in ("weight", "w", "p", "x")


def pieces(name: str, leaves: list[Tensor], reset: Tensor, lengths: Tensor | None, **options: Any) -> list[Tensor]:
    """y and the final states, each sequence cut where it is reset, on the reference backend."""
    reverse, names, samples = options.get("reverse", False), list(CELLS[name].leaves), []
    for b in range(BATCH):
        end = TIME if lengths is None else int(lengths[b])
        inner = [t + reverse for t in range(end) if reset[t, b] and t + reverse not in (0, end)]
        cuts = list(pairwise([0, *inner, end])) if end else [(0, 0)]
        own = {key: leaf[b : b + 1] if is_state(name, key) else leaf for key, leaf in zip(names, leaves, strict=True)}
        found = {}
        for first, last in cuts:
            now = {**own, "x": own["x"][first:last, b : b + 1]}
            found[first, last] = CELLS[name].call(*now.values(), backend="reference", **options)
        y = [torch.cat(each) for each in zip(*(tree_leaves(found[cut][0]) for cut in cuts), strict=True)]
        padded = [torch.cat([leaf, leaf.new_zeros(TIME - end, *leaf.shape[1:])]) for leaf in y]
        samples.append((padded, tree_leaves(found[cuts[0] if reverse else cuts[-1]][1])))
    ys, states = zip(*samples, strict=True)
    return [*(torch.cat(each, 1) for each in zip(*ys, strict=True)), *map(torch.cat, zip(*states, strict=True))]


def with_gradients(results: list[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    random = torch.Generator().manual_seed(1)
    loss = sum((leaf * torch.randn(leaf.shape, generator=random, dtype=leaf.dtype)).sum() for leaf in results)
    return [*results, *torch.autograd.grad(loss, leaves)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_pieces_between_resets_equal_separate_sequences(backend: str, name: str, options: dict[str, Any]) -> None:
    options = {"lengths": None, **options}
    leaves = leaves_of(name, torch.float64)
    y, state = CELLS[name].call(*leaves, reset=MASK, backend=backend, **options)
    expected = with_gradients(pieces(name, leaves, MASK, **options), leaves)
    found = with_gradients([*tree_leaves(y), *tree_leaves(state)], leaves)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@given(st.lists(st.booleans(), min_size=TIME * BATCH, max_size=TIME * BATCH), st.sampled_from(NAMES))
@settings(max_examples=20)
def test_any_reset_mask_equals_separate_sequences_in_float32(mask: list[bool], name: str) -> None:
    reset, leaves = torch.tensor(mask).view(TIME, BATCH), leaves_of(name, torch.float32)
    y, state = CELLS[name].call(*leaves, reset=reset, backend="cpu")
    expected = with_gradients(pieces(name, leaves, reset, None), leaves)
    for one, other in zip(with_gradients([*tree_leaves(y), *tree_leaves(state)], leaves), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_half_precision_keeps_its_dtypes() -> None:
    x, h = torch.randn(4, 2, 3).bfloat16(), torch.randn(2, 3)
    reset = torch.zeros(4, 2, dtype=torch.bool)
    reset[2] = True
    for backend in ("reference", "cpu"):
        y, state = scan(lambda x, h, _: (h + x, h + x), x, h, reset=reset, backend=backend)
        assert y.dtype == torch.bfloat16 and state.dtype == torch.float32
        torch.testing.assert_close(state, h + x[2:].float().sum(0))


@pytest.mark.parametrize("reset", [torch.zeros(4, 3, dtype=torch.bool), torch.zeros(4, 2)])
def test_a_reset_mask_of_the_wrong_shape_or_dtype_is_refused(reset: Tensor) -> None:
    with pytest.raises(ValueError, match=r"reset must be \[4, 2\] bools"):
        scan(lambda x, h, _: (h + x, h + x), torch.randn(4, 2, 3), torch.zeros(2, 3), reset=reset)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_reset_to_sets_the_state_after_a_reset(backend: str, reverse: bool) -> None:
    x, h, fresh = torch.randn(6, 2, 3), torch.randn(2, 3), torch.randn(2, 3)
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[[-1, 2] if reverse else [0, 3], 0] = True
    options = {"reverse": reverse, "backend": backend, "reset": reset}

    def total(x: Tensor, h: Tensor, _: Any) -> Any:
        return h + x, h + x

    for reset_to, start in ((fresh, fresh), (2.0, torch.full((2, 3), 2.0))):
        y, state = scan(total, x, h, reset_to=reset_to, **options)
        last = slice(0, 3) if reverse else slice(3, 6)
        torch.testing.assert_close(state[0], start[0] + x[last, 0].sum(0))
        torch.testing.assert_close(state[1], h[1] + x[:, 1].sum(0))
        first = -1 if reverse else 0
        torch.testing.assert_close(y[first, 0], start[0] + x[first, 0])


def test_a_float_reset_to_of_an_integer_state_is_not_rounded() -> None:
    x, reset = torch.zeros(3, 1, 1), torch.ones(3, 1, dtype=torch.bool)
    y, _ = scan(lambda x, h, _: (h, h), x, torch.zeros(1, 1, dtype=torch.long), reset=reset, reset_to=0.5)
    assert y.flatten().tolist() == [0.5] * 3


def test_a_reset_to_of_the_wrong_structure_or_shape_is_refused() -> None:
    reset = torch.zeros(4, 2, dtype=torch.bool)
    for reset_to, message in (((torch.zeros(2, 3),), "structure"), (torch.zeros(2, 4), "reset_to")):
        with pytest.raises(ValueError, match=message):
            scan(
                lambda x, h, _: (h + x, h + x), torch.randn(4, 2, 3), torch.zeros(2, 3), reset=reset, reset_to=reset_to
            )

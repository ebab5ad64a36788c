"""What is timed in JAX computes what our layers compute."""

import numpy as np
import pytest
import torch

from benchmarks import cells, jax_peers
from bionets.layers import BRC, NBRC
from bionets.scan import scan

jax = pytest.importorskip("jax")


@pytest.mark.parametrize("cell", ["BRC", "nBRC"])
def test_the_jax_bistable_layers_equal_those_of_bionets(cell: str) -> None:
    ours = {"BRC": BRC, "nBRC": NBRC}[cell](3, 5)
    parameters = {name: parameter.detach().numpy() for name, parameter in ours.named_parameters()}
    weights = {
        "input": parameters["weight_ih_l0"],
        "recurrent": parameters["weight_hh_l0"].reshape((2, 5) if cell == "BRC" else (10, 5)),
        "bias": parameters["bias_l0"].reshape(2, 5),
    }
    x = torch.randn(20, 4, 3)
    theirs = {"BRC": jax_peers.brc, "nBRC": jax_peers.nbrc}[cell](weights, x.numpy())
    np.testing.assert_allclose(ours(x)[0].detach().numpy(), theirs, rtol=0, atol=1e-5)


def test_the_jax_lif_layer_and_its_gradients_equal_those_of_bionets() -> None:
    x = torch.randn(20, 4, 3, requires_grad=True)
    raw = torch.full((3,), 2.0, requires_grad=True), torch.full((3,), 0.5, requires_grad=True)
    params = torch.sigmoid(raw[0]), torch.nn.functional.softplus(raw[1])
    output = scan(cells.lib_round, x, torch.zeros(4, 3), params)[0]
    gradient = torch.randn_like(output)
    output.backward(gradient)
    numbers = [leaf.detach().numpy() for leaf in (x, *raw)]
    theirs, pull_back = jax.vjp(jax_peers.lib, *numbers)
    np.testing.assert_allclose(output.detach().numpy(), theirs, rtol=0, atol=1e-5)
    for leaf, found in zip((x, *raw), pull_back(gradient.numpy()), strict=True):
        np.testing.assert_allclose(leaf.grad.numpy(), found, rtol=1e-4, atol=1e-4)

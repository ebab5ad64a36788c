"""What is timed in JAX computes what our layers compute."""

import numpy as np
import pytest
import torch

from benchmarks import cells, jax_peers
from benchmarks.copy_first_input import OURS
from bionets.scan import scan

jax = pytest.importorskip("jax")


@pytest.mark.parametrize("cell", list(jax_peers.LAYERS))
def test_the_jax_layers_equal_those_of_bionets(cell: str) -> None:
    ours = OURS[cell](3, 5)
    parameters = {name: parameter.detach().numpy() for name, parameter in ours.named_parameters()}
    recurrent = parameters["weight_hh_l0"]
    weights = {
        "input": parameters["weight_ih_l0"],
        "recurrent": recurrent.reshape(2, 5) if cell == "BRC" else recurrent,
        "bias": joined_biases(parameters),
    }
    x = torch.randn(20, 4, 3)
    theirs = jax_peers.LAYERS[cell](weights, x.numpy())
    np.testing.assert_allclose(ours(x)[0].detach().numpy(), theirs, rtol=0, atol=1e-5)


def joined_biases(parameters: dict[str, np.ndarray]) -> np.ndarray:
    """The biases ``[biases, 5]`` of the JAX layer, which has one for each gate, and two for the candidate of a GRU."""
    if "bias_l0" in parameters:
        return parameters["bias_l0"].reshape(2, 5)
    ours, theirs = parameters["bias_ih_l0"].reshape(-1, 5), parameters["bias_hh_l0"].reshape(-1, 5)
    return ours + theirs if len(ours) == 4 else np.stack([*(ours + theirs)[:2], ours[2], theirs[2]])


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

"""What only a GPU shows, and Triton's interpreter does not: the Triton backend against the reference on the CPU."""

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bionets.scan import OnlineGradients, dense_scan, scan

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
LONG = 300  # steps: linear recurrences of this length are computed in parallel over time
DEVICES = {"triton": "cuda", "reference": "cpu"}


def compare(run: Callable[[str, str], list[Tensor]], tolerance: float = 2e-5) -> None:
    """Compare the results of ``run(backend, device)`` for both backends, with the same random numbers."""
    found = []
    for backend, device in DEVICES.items():
        torch.manual_seed(0)
        found.append([each.detach().cpu() for each in run(backend, device)])
    for one, other in zip(*found, strict=True):
        finite = other[torch.isfinite(other)]
        scale = max(1.0, float(finite.abs().max())) if finite.numel() else 1.0
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def integrator(x: Any, state: Any, params: Any) -> Any:
    new = params[0] * state[0] + x[0]
    return 2 * new, (new,)


def quotients(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Dividends whose quotient is a whole number, or rounds to one."""
    b = torch.rand(4000, dtype=dtype) * 5 + 0.1
    exact = b * torch.randint(1, 3000, (4000,)).to(dtype)
    return torch.cat([exact, torch.nextafter(exact, b.new_tensor(0.0)), exact * 1e6]), b.repeat(3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "function",
    [torch.fmod, torch.remainder, lambda a, b: torch.div(a, b, rounding_mode="floor")],
    ids=["fmod", "remainder", "floor_divide"],
)
def test_remainders_are_exact(function: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype) -> None:
    def run(backend: str, device: str) -> list[Tensor]:
        a, b = (each.view(1, 1, -1).to(device) for each in quotients(dtype))
        state = torch.zeros(1, a.shape[-1], dtype=dtype, device=device)
        y, _ = scan(lambda x, s, p: ((function(*x), function(x[0], -x[1])), s), (a, b), state, backend=backend)
        return list(y)

    compare(run, 0)


def test_erfc_of_large_arguments_agrees_with_the_reference() -> None:
    def run(backend: str, device: str) -> list[Tensor]:
        a = torch.linspace(-5, 9, 200, device=device).view(1, 1, -1)
        y, _ = scan(lambda x, s, p: (torch.erfc(x), s), a, torch.zeros(1, 200, device=device), backend=backend)
        return [y.log()]

    compare(run, 1e-4)


def test_a_reset_discards_a_state_that_is_not_finite() -> None:
    def run(backend: str, device: str) -> list[Tensor]:
        x, reset = torch.randn(LONG, 2, 5), torch.zeros(LONG, 2, dtype=torch.bool)
        x[20, 0], x[150, 1], reset[40], reset[200] = torch.inf, torch.nan, True, True
        x, a = x.to(device), torch.full((5,), 0.5, device=device)
        options = {"reset": reset.to(device), "reset_to": 0.0, "backend": backend}
        y, (state,) = scan(integrator, (x,), (torch.zeros(2, 5, device=device),), (a,), **options)
        return [y, state]

    compare(run)


def test_online_gradients_of_a_long_chunk_agree_with_the_reference() -> None:
    def run(backend: str, device: str) -> list[Tensor]:
        x, a = torch.randn(LONG, 2, 5).to(device), torch.full((5,), 0.5, device=device, requires_grad=True)
        with OnlineGradients():
            y, _ = scan(integrator, (x,), (torch.zeros(2, 5, device=device),), (a,), backend=backend)
        return [y, *torch.autograd.grad(y.sin().sum(), a)]

    compare(run)


@pytest.mark.parametrize("width", [13, 130])  # on one block, and as launches over time
def test_a_stage_may_pass_on_its_state(width: int) -> None:
    def first(x: Tensor, r: Tensor, s: Any, p: Any) -> Any:
        return None, (torch.tanh(x + r + s[0]),)

    def second(x: Tensor, r: Tensor, s: Any, p: Any) -> Any:
        return None, (torch.sin(r + 0.5 * s[0]), s[0])

    def third(x: Tensor, r: Tensor, s: Any, p: Any) -> Any:
        h = torch.tanh(s[0] * s[1] + r)
        return h, (h,)

    def run(backend: str, device: str) -> list[Tensor]:
        sizes = [(5, 4, width), (4, width), *[(width, width)] * 3]
        x, h, *weights = (0.1 * torch.randn(size) for size in sizes)
        leaves = [each.to(device).requires_grad_() for each in (x, h, *weights)]
        lengths = torch.tensor([5, 3, 0, 1], device=device)
        options = {"lengths": lengths, "checkpoint_every": 2, "backend": backend}
        y, (s,) = dense_scan((first, second, third), leaves[0], (leaves[1],), (), tuple(leaves[2:]), **options)
        return [y, s, *torch.autograd.grad(y.square().sum() + s.sin().sum(), leaves)]

    compare(run, 1e-4)


def test_inputs_of_any_alignment_agree_with_the_reference() -> None:
    def run(backend: str, device: str) -> list[Tensor]:
        found = []
        for width, batch in ((16, 4), (1, 4), (16, 1), (1, 1), (15, 4)):
            for shift in (0, 1, 3, 0):
                base = torch.randn(6, batch, width + 4).to(device)
                x = base[..., shift : shift + width].detach().requires_grad_()
                a = base[0, 0, shift : shift + width].clone().requires_grad_()
                y, (s,) = scan(integrator, (x,), (torch.zeros(batch, width, device=device),), (a,), backend=backend)
                found += [y, *torch.autograd.grad(y.sum() + s.sum(), (x, a))]
        return found

    compare(run)


def test_vmap_agrees_with_the_reference() -> None:
    def run(backend: str, device: str) -> list[Tensor]:
        x, a, state = torch.randn(5, 2, 7).to(device), torch.rand(3, 7).to(device), torch.zeros(2, 7, device=device)
        return [torch.vmap(lambda a: scan(lambda x, s, p: (p * s + x,) * 2, x, state, a, backend=backend)[0])(a)]

    compare(run)


def test_a_scan_on_another_stream_waits_for_its_inputs() -> None:
    x, a = torch.randn(2000, 64, 1024), torch.full((1024,), 0.5)
    with torch.cuda.stream(torch.cuda.Stream()):
        on_device, zero = x.to("cuda").mul_(1.0), torch.zeros(64, 1024, device="cuda")
        found = scan(integrator, (on_device,), (zero,), (a.to("cuda"),), backend="triton")[0][-1].cpu()
    state = torch.zeros(64, 1024)
    for each in x[-60:]:  # 2⁻⁶⁰ of what was before
        state = 0.5 * state + each
    torch.testing.assert_close(found, 2 * state, rtol=1e-4, atol=1e-4)


def test_threads_compile_and_train_at_the_same_time() -> None:
    steps = [
        lambda x, s, p, k=k: ((k + 0.5) * s[0] + x[0], (p[0] * s[0] + (k + 0.1) * torch.sin(x[0]),)) for k in range(4)
    ]
    x, a = torch.randn(50, 8, 33), torch.rand(33)

    def results(k: int, backend: str) -> list[Tensor]:
        device = DEVICES[backend]
        leaves = [each.to(device).requires_grad_() for each in (x.detach(), a.detach())]
        y, _ = scan(steps[k], (leaves[0],), (torch.zeros(8, 33, device=device),), (leaves[1],), backend=backend)
        return [each.cpu() for each in torch.autograd.grad(y.square().sum(), leaves)]

    expected, wrong = [results(k, "reference") for k in range(4)], []

    def work(number: int) -> None:
        for k in (*range(number, 4), *range(number)):
            for one, other in zip(results(k, "triton"), expected[k], strict=True):
                if not torch.allclose(one, other, rtol=1e-4, atol=1e-3):
                    wrong.append(k)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong


def test_more_elements_than_an_int32_can_count_are_supported() -> None:
    if torch.cuda.mem_get_info()[0] < 60 << 30:
        pytest.skip("needs 60 GiB")
    code = """
import torch
from bionets.scan import scan
x = torch.ones(1, 1, (1 << 31) + 4096, device="cuda")
x[..., -1] = 5
with torch.no_grad():
    y, s = scan(lambda x, s, p: (x + 1, x * 2 + s), x, torch.zeros(1, 1, device="cuda"), backend="triton")
assert [float(each) for each in (y[0, 0, -1], y[0, 0, 0], s[0, -1], s[0, 5])] == [6, 2, 10, 2]
"""
    # In a process of its own: an illegal address would end the tests.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]

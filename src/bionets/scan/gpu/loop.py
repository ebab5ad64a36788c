"""Wide dense recurrences on CUDA: a loop over time with one matrix product and one kernel for each stage."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bionets.scan.call import Call
from bionets.scan.gpu.kernel_arguments import KernelArguments
from bionets.scan.gpu.kernels import Kernel, find_kernel
from bionets.scan.gpu.printer import Source
from bionets.scan.gpu.results import Results, first_products
from bionets.scan.gpu.stage_printer import print_stage, print_stage_gradient

States = list[Tensor]


def loop_forward(call: Call, y: list[Tensor], final: list[Tensor], histories: dict[int, Tensor]) -> None:
    """Fill y, the final state, and the histories by number of the state."""
    loop, state = _Loop(call), call.state
    for step in range(call.time):
        state = loop.forward_step(step, state, y)[-1]
        for i, history in histories.items():
            if call.checkpoint_every == 1:
                history[loop.time(step)].copy_(state[i])
            elif (step + 1) % call.checkpoint_every == 0 and step + 1 < call.time:
                history[(step + 1) // call.checkpoint_every - 1].copy_(state[i])
    for target, leaf in zip(final, state, strict=True):
        target.copy_(leaf)


def loop_backward(
    call: Call,
    histories: list[Tensor],
    grad_y: list[Tensor | None],
    grad_final: list[Tensor | None],
    results: Results,
) -> None:
    """Fill the results, from the last time step to the first."""
    every = call.checkpoint_every
    loop = _Loop(call, first_products(call, histories[0]) if every == 1 else None)
    for leaf in results.sums.values():
        leaf.zero_()
    pairs = zip(grad_final, call.state, strict=True)
    gradients = [torch.zeros_like(state) if leaf is None else leaf.contiguous() for leaf, state in pairs]
    for chunk in reversed(range(-(-call.time // every))):
        begin, end = chunk * every, min((chunk + 1) * every, call.time)
        if begin == 0:
            state = call.state
        elif every == 1:
            state = [history[loop.time(begin - 1)] for history in histories]
        else:
            state = [history[chunk - 1] for history in histories]
        tape = [state]
        for step in range(begin, end - 1):
            tape.append(loop.forward_step(step, tape[-1], None)[-1])
        for step in reversed(range(begin, end)):
            gradients = loop.backward_step(step, tape.pop(), grad_y, gradients, results)
    for target, leaf in zip(results.state, gradients, strict=True):
        target.copy_(leaf)


class _Loop:
    """One time step, forward and backward. Steps are counted in the order of processing.

    products: the products of the first stage's states with its weight at all time steps, if they are known beforehand.
    """

    def __init__(self, call: Call, products: Tensor | None = None) -> None:
        self.call, self.stages = call, call.program.stages
        self.last = len(self.stages) - 1
        self.products = None if products is None else products.unbind(0)
        self.x = [leaf.unbind(0) for leaf in call.x]
        self.known: dict[
            Any, tuple[KernelArguments, Kernel]
        ] = {}  # tables and kernels of a stage: the same at each step

    def time(self, step: int) -> int:
        return self.call.time - 1 - step if self.call.reverse else step

    def forward_step(self, step: int, state: States, y: list[Tensor] | None, stages: int | None = None) -> list[States]:
        """The states before the first stage, between the stages and after the last (or after the given number)."""
        states, t = [state], self.time(step)
        for k in range(len(self.stages) if stages is None else stages):
            after = [torch.empty_like(state[0]) for _ in range(self.stages[k].state_out)]
            values = self._inputs(t, k, states[k])
            values |= {f"new_state{i}": leaf for i, leaf in enumerate(after)}
            values |= {f"old{i}": leaf for i, leaf in enumerate(state)}
            values |= {f"y{i}": leaf[t] for i, leaf in enumerate(y or ())}
            self._launch(values, print_stage, (k, y is not None))
            states.append(after)
        return states

    def backward_step(
        self, step: int, state: States, grad_y: list[Tensor | None], grad_after: States, results: Results
    ) -> States:
        """The gradients of the states before a step, given those after it; adds to the results."""
        t, states, gradients = self.time(step), self.forward_step(step, state, None, self.last), grad_after
        for k, before in enumerate(results.before):
            if before is not None:
                before[t].copy_(states[k][0])
        options = {"needs_x": results.needs.x, "needs_params": results.needs.params, "shared": results.shared}
        for k in reversed(range(len(self.stages))):
            found = [torch.empty_like(state[0]) for _ in range(self.stages[k].state_in)]
            values = self._inputs(t, k, states[k])
            values |= {f"grad_y{i}": None if leaf is None else leaf[t] for i, leaf in enumerate(grad_y)}
            values |= {f"grad_x{i}": leaf[t] for i, leaf in results.x_by_number().items()}
            values |= {f"grad_recurrent{g}": leaf[t] for g, leaf in enumerate(results.recurrent[k])}
            values |= {f"grad_new_state{i}": leaf for i, leaf in enumerate(gradients)}
            values |= {f"kept{i}": leaf for i, leaf in enumerate(grad_after)}
            values |= {f"grad_state{i}": leaf for i, leaf in enumerate(found)}
            values |= {f"grad_params{i}": leaf for i, leaf in results.sums.items()}
            self._launch(values, print_stage_gradient, (k,), **options)
            found[0].addmm_(results.recurrent_rows(k, t), self.call.weights[k])
            gradients = found
        return gradients

    def _inputs(self, t: int, k: int, state: States) -> dict[str, Any]:
        """The inputs of a stage at a time step, with recurrent = first(state) @ weight.T."""
        known = k == 0 and self.products is not None
        product = self.products[t] if known else torch.mm(state[0], self.call.weights[k].T)  # type: ignore[index]
        values: dict[str, Any] = {"time": t} | {f"x{i}": leaf[t] for i, leaf in enumerate(self.x)}
        values |= {f"recurrent{g}": leaf for g, leaf in enumerate(product.split(self.call.width, 1))}
        return values | {f"state{i}": leaf for i, leaf in enumerate(state)}

    def _launch(
        self, values: dict[str, Any], printer: Callable[..., Source], stage: tuple[Any, ...], **options: Any
    ) -> None:
        """Launch a kernel of a stage. Strides are the same at all time steps, so the kernel is the same, too."""
        key = (printer, stage)
        if key not in self.known:
            arguments = KernelArguments(self.call)
            arguments.add_inputs(0)
            for name, leaf in values.items():
                if name != "time":
                    arguments.add(name, leaf)
            kernel = find_kernel(printer, self.call.program, arguments.variant(**options), *stage)
            self.known[key] = arguments, kernel
        arguments, kernel = self.known[key]
        arguments.values.update(values)
        arguments.launch(kernel)

"""Records the operations of a step as nodes of a graph while PyTorch executes them."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch._decomp import decomposition_table  # private: there is no public table
from torch.utils._python_dispatch import TorchDispatchMode

from bionets.scan.builder import GraphBuilder, Value
from bionets.scan.graph import UnsupportedStepError
from bionets.scan.trace.lowering import IGNORED, LOWERINGS, SHAPE_ONLY
from bionets.scan.trace.source_lines import source_line

# these have no effect on the single axis of a traced tensor, and torch's decompositions omit them
MOVES_AXES = {"t", "t_", "transpose", "transpose_", "permute"}


class Recorder(TorchDispatchMode):
    """Executes each operation and adds it to the graph. Tensors are distinguished by their memory addresses."""

    def __init__(self, builder: GraphBuilder, dtype: torch.dtype, example: int) -> None:
        super().__init__()
        self.example = example
        self.builder = builder
        self.dtype = dtype
        self.values: dict[int, Value] = {}
        self.inputs: set[int] = set()
        self.alive: list[Tensor] = []  # so that no address is used twice
        self.expects: Callable[[], bool] = lambda: True  # whether a torch function that the step has called is running

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise the first trace imports the whole of torch.compile

    def new_input(self, name: str) -> Tensor:
        differentiable = torch.is_grad_enabled() and not name.startswith("grad_")
        tensor = torch.full((self.example,), 0.5, dtype=self.dtype, requires_grad=differentiable)
        self.values[tensor.data_ptr()] = self.builder.input(name)
        self.inputs.add(tensor.data_ptr())
        self.alive.append(tensor)
        return tensor

    def knows(self, tensor: Tensor) -> bool:
        """Whether a tensor comes from the arguments of the step."""
        return tensor.data_ptr() in self.values

    def value_of(self, tensor: Tensor) -> Value:
        value = self.values.get(tensor.data_ptr())
        if value is None:
            what = f"the step uses a tensor from outside, {list(tensor.shape)}"
            raise self._unsupported(f"{what}; hand it in through params")
        return value

    def float_of(self, tensor: Tensor) -> Value:
        if tensor.numel() not in (1, self.example):
            made = f"it made {self.example} elements into {tensor.numel()}"
            raise UnsupportedStepError(f"the step is not elementwise: {made}")
        return self.builder.cast(self.value_of(tensor), "float")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():  # reads by the recorder are not reads by the step
            return self._add(func, args, kwargs or {})

    def _add(self, func: Any, args: Any, kwargs: Any) -> Any:
        name = func.overloadpacket.__name__
        self.builder.source = source_line(sys._getframe(1))
        self._refuse(func, name, args, kwargs)
        if name.startswith("lift_fresh") and args[0].numel() == 1:  # torch.tensor(0.5), written in the step
            self._add_constant(args[0])
        if name == "_local_scalar_dense" and not self.knows(args[0]):  # float() of a tensor from outside is a constant
            return func(*args)
        lowering = LOWERINGS.get(name.removesuffix("_") if func._schema.is_mutable else name)
        if lowering is not None:
            return self._lower(lowering, func, args, kwargs)
        if name in IGNORED:
            result = func(*args, **kwargs)
            if isinstance(result, Tensor) and result.dtype != args[0].dtype:
                raise self._unsupported(f"{func} is not supported in a step")
            self._keep(result)
            return result
        decomposed = self._decompose(func, args, kwargs)
        if decomposed is None:
            raise self._unsupported(f"aten.{name} is not supported in a step")
        return decomposed

    def _refuse(self, func: Any, name: str, args: Any, kwargs: Any) -> None:
        """Refuse what no lowering or decomposition could make right."""
        if func.namespace not in ("aten", "prims"):  # a user's operator may have the same name as an operator of torch
            raise self._unsupported(f"{func} is not supported in a step")
        if name not in IGNORED and not self.expects():  # a function that saves its result detaches it
            raise self._unsupported(f"aten.{name} is called by code that is not Python, such as TorchScript")
        mutates = func._schema.is_mutable
        if mutates and any(tensor.data_ptr() in self.inputs for tensor in _written(func, args, kwargs)):
            raise self._unsupported(f"aten.{name} changes an input of the step in place")
        if name in MOVES_AXES:
            raise self._unsupported(f"aten.{name} is not supported in a step")

    def _add_constant(self, tensor: Tensor) -> None:
        try:
            kind = self.builder.kind_of(tensor.dtype)
        except TypeError as error:
            raise self._unsupported(str(error)) from None
        self.values[tensor.data_ptr()] = self.builder.constant(tensor.item(), kind)

    def _lower(self, lowering: Callable[..., Any], func: Any, args: Any, kwargs: Any) -> Any:
        """Execute an operation, and add the nodes of its lowering for the tensors that it returns."""
        shape_only = func.overloadpacket.__name__ in SHAPE_ONLY
        values = [arg if shape_only or not isinstance(arg, Tensor) else self.value_of(arg) for arg in args]
        named = {key: self.value_of(arg) if isinstance(arg, Tensor) else arg for key, arg in kwargs.items()}
        result = func(*args, **{key: arg for key, arg in named.items() if not isinstance(arg, Value)})
        results = result if isinstance(result, tuple) else (result,)
        try:
            self.builder.describe(args, results[0])
            found = lowering(self.builder, *values, **named)
            pairs = zip(results, found if isinstance(found, tuple) else (found,), strict=True)
            # in place, a comparison stores numbers
            self.values |= {
                each.data_ptr(): self.builder.cast(value, self.builder.kind_of(each.dtype)) for each, value in pairs
            }
        except (TypeError, KeyError, ValueError, OverflowError):
            raise self._unsupported(f"{func} is not supported in a step") from None
        self._keep(result)
        return result

    def _keep(self, result: Any) -> None:
        """Keep the tensors that an operation returned, so that no address is used twice."""
        results = result if isinstance(result, tuple) else (result,)
        self.alive += [each for each in results if isinstance(each, Tensor)]

    def _decompose(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func not in decomposition_table:
            return None
        try:
            with self:
                return decomposition_table[func](*args, **kwargs)
        except UnsupportedStepError:
            return None

    def _unsupported(self, message: str) -> UnsupportedStepError:
        """The error with the currently executed line of the step."""
        return UnsupportedStepError(f"{message} ({self.builder.source})" if self.builder.source else message)


def _written(func: Any, args: Any, kwargs: Any) -> Iterator[Tensor]:
    """The tensors into which an operation writes, including `out`."""
    for number, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[number] if number < len(args) else kwargs.get(argument.name)
            yield from given if isinstance(given, list | tuple) else [] if given is None else [given]

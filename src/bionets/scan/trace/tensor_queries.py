"""Answers queries of a traced step about tensors: returns shapes and devices, and refuses values and memory.

A trace runs on tensors of a few elements, which report the shapes and the device of the arguments of the call. If a
step reads them, its program is used only for these shapes or this device.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes  # private; torch's own tracers use it

from bionets.scan.arguments import broadcast
from bionets.scan.graph import UnsupportedStepError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class CallShapes:
    """The shapes of a call as seen by the step, without T. device: None if the arguments are on several devices."""

    x: tuple[Shape, ...]
    state: tuple[Shape, ...]
    params: tuple[Shape, ...]
    full: Shape  # [B, *N]
    device: torch.device | None


# attributes that differ between the reference backend, which runs the step under autograd, and a compiled step
REFUSED = {"requires_grad", "requires_grad_", "is_leaf", "grad_fn", "grad", "retain_grad", "retains_grad", "backward"}
REFUSED |= {"register_hook", "_version", "_backward_hooks", "output_nr", "names", "is_inference", "type", "layout"}
# memory layout and values of the elements
REFUSED |= {"stride", "is_contiguous", "data_ptr", "storage", "untyped_storage", "storage_offset", "is_shared"}
REFUSED |= {"nbytes"}
REFUSED |= {"numpy", "tolist", "__array__", "__dlpack__", "__repr__", "__format__", "__deepcopy__", "__reduce_ex__"}
SIZES = {"shape", "size", "numel", "nelement", "dim", "ndimension", "ndim", "__len__"}
DEVICES = {"device", "get_device", "is_cpu", "is_cuda", "is_meta", "is_mps", "is_xpu"}
RESHAPED = {"view", "reshape", "ravel", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as"}
RESHAPED |= {"atleast_1d", "atleast_2d", "atleast_3d"}
EXPANDED = {"expand", "expand_as", "broadcast_to"}
MADE = {"zeros", "ones", "full", "new_zeros", "new_ones", "new_full"}
IN_PLACE = {f"__i{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")}
IN_PLACE |= {"__setitem__"}
MOVED = {"to", "cpu", "cuda"}
VALUES = {"__bool__", "__float__", "__int__", "__index__", "__complex__", "__contains__", "item", "is_nonzero", "equal"}


class TensorQueries(TorchFunctionMode):
    """Intercepts every torch function that a step calls and every attribute of a tensor that it reads.

    call: the shapes to report. knows: whether a tensor depends on the arguments. inputs: the addresses of the
    arguments. line: " (line of the step)", for errors. read_shapes: whether the step has read a shape or a device.
    error: the first error of a torch function, even if the step catches it: it may not occur on the reference backend.
    """

    def __init__(
        self,
        call: CallShapes | None,
        knows: Callable[[Tensor], bool],
        inputs: set[int],
        line: Callable[[], str],
        example: int,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.call = call
        self.knows = knows
        self.line = line
        self.example = example
        self.read_shapes = False
        self.running = False  # a torch function that was called in the step
        self.error: Exception | None = None
        self.perhaps_copied: set[int] = set()  # addresses; whether it is a copy depends on the memory layout
        self._by_tensor: dict[int, Shape] = {}
        self._by_address: dict[int, Shape] = {}
        self.alive: list[Tensor] = []  # keeps tensors alive, so that no id is used twice

    def raise_caught_error(self) -> None:
        """Raise the first error of a torch function again, if the step has caught it."""
        if self.error is not None:
            raise self.error

    def set_shape(self, tensor: Tensor, shape: Iterable[int]) -> None:
        """Make a tensor report this shape."""
        self._by_tensor[id(tensor)] = self._by_address[tensor.data_ptr()] = tuple(shape)
        self.alive.append(tensor)

    def shape_of(self, tensor: Tensor) -> Shape:
        """The shape that a tensor reports."""
        found = self._known_shape(tensor)
        return tuple(tensor.shape) if found is None else found

    def _known_shape(self, tensor: Tensor) -> Shape | None:
        """None for a tensor that autograd has made of the arguments: a gradient in the backward pass of a function."""
        found = self._by_tensor.get(id(tensor))
        found = self._by_address.get(tensor.data_ptr()) if found is None else found
        if found is None and not (self.knows(tensor) and tensor.shape == (self.example,)):
            return tuple(tensor.shape)
        return found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before, self.running = self.running, True
        try:
            return self._call(func, args, kwargs or {})
        except (RuntimeError, IndexError, ValueError) as error:
            self.error = self.error or error
            raise
        finally:
            self.running = before

    def _call(self, func: Any, args: Any, kwargs: Any) -> Any:
        name = func.__name__
        if name == "__get__":
            name = func.__self__.__name__
        in_place = name in IN_PLACE or (name.endswith("_") and not name.startswith("__"))
        if kwargs.get("out") is not None:
            raise UnsupportedStepError(f"{name} changes a tensor in place (out=); use its result{self.line()}")
        if args and isinstance(args[0], Tensor) and self.knows(args[0]):
            self._refuse(name, args, in_place)
            if name in SIZES:
                self._need_shapes(name)
                return self._on_meta(func, args, kwargs)
            if name in DEVICES:
                self._need_shapes(name)
                return self._device(name)
            basic = name == "__getitem__" and self.call is not None and _is_basic(args[1])  # such as x[None]
            if name in RESHAPED or name in EXPANDED or basic:
                return self._reshape(func, name, args, kwargs)
        if name == "__setitem__" and self._fits_mask(*args):
            func, name = torch.Tensor.masked_fill_, "masked_fill_"
        if name in MADE:
            return self._make(func, name, args, kwargs)
        if name in MOVED:
            args = tuple(arg for arg in args if not self._is_here(arg))
            if name in ("cpu", "cuda"):
                if self._is_here(name):
                    return args[0]
                args, func = args[:1], torch.clone
        kwargs = {key: value for key, value in kwargs.items() if key != "device" or not self._is_here(value)}
        return self._elementwise(func, name, args, kwargs, in_place)

    def _refuse(self, name: str, args: Any, in_place: bool) -> None:
        """Refuse functions of an argument, or of what was computed from it, that a compiled step cannot compute."""
        if name in VALUES:
            hint = "branch with torch.where" if name == "__bool__" else "a step sees no values"
            raise UnsupportedStepError(f"the step reads the value of a tensor ({name}); {hint}{self.line()}")
        if name in REFUSED and not (name == "type" and len(args) > 1):
            raise UnsupportedStepError(f"the step reads {name} of a tensor, which is not fixed{self.line()}")
        if in_place and args[0].data_ptr() in self.inputs:
            raise UnsupportedStepError(f"{name} changes an input of the step in place{self.line()}")
        if in_place and args[0].data_ptr() in self.perhaps_copied:
            why = "after contiguous() or ravel(), which may return a copy"
            raise UnsupportedStepError(f"{name} changes a tensor in place {why}{self.line()}")
        if name in ("contiguous", "ravel"):
            self.perhaps_copied.add(args[0].data_ptr())
        of_size = name in SIZES or name in RESHAPED or name in EXPANDED
        if of_size and any(self._known_shape(each) is None for each in args if isinstance(each, Tensor)):
            raise UnsupportedStepError(f"the step reads the shape of a gradient ({name}){self.line()}")

    def _elementwise(self, func: Any, name: str, args: Any, kwargs: Any, in_place: bool) -> Any:
        """Call a function, and let its results report the common shape of its arguments."""
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        self._check_promotion(tensors)
        shapes = [self._known_shape(tensor) for tensor in tensors if self.knows(tensor)]
        if None in shapes:
            return func(*args, **kwargs)
        try:
            shape = broadcast([each for each in shapes if each is not None], name)
        except ValueError as error:
            raise UnsupportedStepError(f"{error}; a step is elementwise{self.line()}") from None
        if in_place and args and isinstance(args[0], Tensor):
            self._check_target(name, args[0], shape)
        result = func(*args, **kwargs)
        for each in result if isinstance(result, tuple | list) else (result,):
            if isinstance(each, Tensor):
                if each.dim() > 1 and each.shape[-1] != each.numel():  # an outer product, a column
                    raise UnsupportedStepError(f"{name} adds an axis; a step is elementwise{self.line()}")
                self.set_shape(each, shape if tensors else each.shape)
        return result

    def _fits_mask(self, target: Tensor, index: Any, value: Any) -> bool:
        """Whether ``target[index] = value`` sets the elements at a mask of the same shape to a number."""
        if not isinstance(index, Tensor) or index.dtype != torch.bool or not isinstance(value, int | float):
            return False
        self.read_shapes = True
        of_target, of_mask = self._known_shape(target), self._known_shape(index)
        return of_target is not None and of_target == of_mask

    def _check_target(self, name: str, target: Tensor, shape: Shape) -> None:
        """Refuse to write values into a tensor of fewer elements, as torch does."""
        self.read_shapes, own = True, self.shape_of(target)
        if name == "__setitem__":
            own, shape = _without_leading_ones(own), _without_leading_ones(shape)
        if own != shape:
            raise UnsupportedStepError(f"{name} writes {list(shape)} into {list(own)}{self.line()}")

    def _check_promotion(self, tensors: list[Tensor]) -> None:
        """Refuse scalar parameters that torch would promote in another way than tensors with a dimension."""
        for a, b in combinations(tensors, 2):
            if a.dtype == b.dtype:
                continue
            found = torch.result_type(a, b)
            scalars = [torch.empty((), dtype=each.dtype) for each in (a, b)]
            if found == torch.result_type(a, scalars[1]) == torch.result_type(scalars[0], b):
                continue  # whether one of them is a scalar makes no difference
            self.read_shapes = True
            called = [each if self.shape_of(each) else scalar for each, scalar in zip((a, b), scalars, strict=True)]
            if found != torch.result_type(*called):
                mixed = f"{a.dtype} and {b.dtype}, one of them of a scalar parameter"
                raise UnsupportedStepError(f"the step combines {mixed}; cast both to one dtype{self.line()}")

    def _need_shapes(self, name: str) -> CallShapes:
        self.read_shapes = True
        if self.call is None:
            raise UnsupportedStepError(f"the step reads {name}, which torch.compile may change{self.line()}")
        return self.call

    def _on_meta(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of a torch function for tensors of the reported shapes, without memory."""

        def on_meta(leaf: Any) -> Any:
            return torch.empty(self.shape_of(leaf), device="meta") if isinstance(leaf, Tensor) else leaf

        with _disable_current_modes():
            return func(*pytree.tree_map(on_meta, args), **pytree.tree_map(on_meta, kwargs))

    def _device(self, name: str) -> Any:
        device = self._need_shapes(name).device
        if device is None:
            raise UnsupportedStepError(f"the step reads {name}, but its arguments are on several devices{self.line()}")
        if name == "device":
            return device
        if name == "get_device":
            return -1 if device.index is None else device.index
        return device.type == name.removeprefix("is_")

    def _is_here(self, value: Any) -> bool:
        """Whether a value names the device of the arguments."""
        if not isinstance(value, str | torch.device) or self.call is None:
            return False
        try:
            here = torch.device(value) == self.call.device
        except RuntimeError:  # another string
            return False
        self.read_shapes = self.read_shapes or here
        return here

    def _reshape(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        """A view of the same elements, if it stays aligned with the other tensors of the step."""
        self._need_shapes(name)
        if any(isinstance(each, torch.dtype) for each in (*args, *kwargs.values())):
            raise UnsupportedStepError(f"{name} reads the bits of a tensor as another dtype{self.line()}")
        old = self.shape_of(args[0])
        new = tuple(self._on_meta(func, args, kwargs).shape)
        if name not in EXPANDED and _without_leading_ones(new) != _without_leading_ones(old):
            change = f"{list(old)} becomes {list(new)}"
            raise UnsupportedStepError(f"{name} changes a shape: {change}; a step is elementwise{self.line()}")
        result = args[0].view_as(args[0])
        self.set_shape(result, new)
        return result

    def _make(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        """A new tensor that reports the requested shape and, like all traced tensors, has few elements."""
        kwargs = {key: value for key, value in kwargs.items() if key != "device" or not self._is_here(value)}
        lead, given = (args[:1], args[1:]) if name.startswith("new_") else ((), args)
        rest: tuple[Any, ...] = ()
        if "size" in kwargs:
            size, rest = kwargs.pop("size"), given
        elif given and isinstance(given[0], int) and not name.endswith("full"):
            size = given
        else:
            size, rest = given[0], given[1:]
        shape = tuple(size) if isinstance(size, Iterable) else (size,)
        if math.prod(shape) != 1:
            self._need_shapes(name)
        traced = (1,) * min(len(shape), 1) if math.prod(shape) == 1 else (self.example,)
        result = func(*lead, traced, *rest, **kwargs)
        self.set_shape(result, shape)
        return result


def _is_basic(index: Any) -> bool:
    """Whether an index can change only the shape of a tensor, not the order of its elements, if none is left out."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or type(part) in (slice, int) for part in parts)


def _without_leading_ones(shape: Shape) -> Shape:
    return shape[next((axis for axis, size in enumerate(shape) if size != 1), len(shape)) :]

"""The memory layout of the neurons in a tensor, chosen to avoid copies in a scan."""

from typing import NamedTuple

from torch import Tensor


class Layout(NamedTuple):
    """The layout in which tensors ``[..., *shape]`` are passed to a scan.

    The axes of ``shape`` are permuted to their order in memory (channels-last images remain channels-last). If the
    neurons come first, an axis of size one is added before them.
    """

    order: tuple[int, ...]  # a permutation of the axes of shape
    axis: int  # the axis of the neurons, after the permutation

    @classmethod
    def of(cls, x: Tensor, axis: int) -> "Layout":
        """The layout for a sequence x ``[T, *shape]`` with the neurons along ``shape[axis]``."""
        rest = [n for n in range(1, x.dim() - 1) if x.shape[n + 1] > 1]
        strides = [x.stride(n + 1) for n in rest]
        order = list(range(x.dim() - 1))
        if strides != sorted(strides, reverse=True):
            order[1:] = sorted(order[1:], key=lambda n: -x.stride(n + 1))
        return cls(tuple(order), order.index(axis))

    def to_scan(self, tensor: Tensor, lead: int = 0) -> Tensor:
        """A view of ``[..., *shape]`` in the layout of the scan; ``lead`` is the number of axes before ``shape``."""
        if self._permutes:
            tensor = tensor.permute(*range(lead), *(lead + n for n in self.order))
        return tensor if self.axis else tensor.unsqueeze(lead)

    def from_scan(self, tensor: Tensor, lead: int = 0) -> Tensor:
        """The inverse of `to_scan`."""
        tensor = tensor if self.axis else tensor.squeeze(lead)
        if self._permutes:
            back = sorted(range(len(self.order)), key=self.order.__getitem__)
            tensor = tensor.permute(*range(lead), *(lead + n for n in back))
        return tensor

    def parameter(self, value: Tensor) -> Tensor:
        """Reshape one value per neuron, ``[num_neurons]``, to broadcast over `to_scan`'s result; keep a scalar."""
        return value.view(-1, *(1,) * (len(self.order) - 1 - self.axis)) if value.dim() else value

    @property
    def _permutes(self) -> bool:
        return self.order != tuple(range(len(self.order)))

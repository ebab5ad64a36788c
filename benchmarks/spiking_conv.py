"""One training step of traceTorch's convolutional network on images of 28 × 28: forward, backward, AdamW.

    Conv 1→32, spikes, max-pool, Conv 32→64, spikes, max-pool, Linear 3136→128, leaky integrators, Linear 128→10

The image is the input at every step (direct encoding), the loss the cross-entropy of the mean output. Every library is
called as its own introduction calls it: those that know one time step in a loop, SpikingJelly on whole sequences. The
last contestant is the same network without time in it: ReLUs for the neurons, the images of all steps as one batch. It
and ours have the channels last in memory.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.floor import Product, Work
from benchmarks.timing import Comparison, Contestant, Run
from bionets.layers import reset_states, unroll
from bionets.layers.spiking import LI, LIB
from bionets.layers.spiking.encoders import direct

SIDE, CLASSES, CHANNELS, HIDDEN = 28, 10, (32, 64), 128
FLAT = CHANNELS[1] * (SIDE // 4) ** 2
BETA = 0.9
Size = tuple[int, int]  # time steps, images
Network = tuple[
    nn.Module, Callable[[Tensor], Tensor]
]  # and a function from images [B, 1, 28, 28] to outputs [T, B, 10]


def spiking_conv(quantiser: str, size: Size) -> Comparison:
    """The network with the quantiser `round`, compared with every library, or with `bernoulli`, the default of
    traceTorch, compared with traceTorch.
    """
    contestants = [
        _contestant(size, "bionets", lambda: _bionets(quantiser, size[0])),
        _contestant(size, "tracetorch", lambda: _tracetorch(quantiser, size[0])),
    ]
    if quantiser == "round":
        contestants += [
            _contestant(size, "snntorch", lambda: _snntorch(size[0])),
            _contestant(size, "spikingjelly", lambda: _spikingjelly(size[0]), "multi-step; one learnable decay"),
            _contestant(size, "ReLU", lambda: _relu(size[0]), "no time in it: all images at once"),
        ]
    title = f"spiking conv net (quantiser {quantiser}), training step, T {size[0]}, B {size[1]}"
    return Comparison(f"spiking-conv-{quantiser}", title, _work(size, quantiser == "bernoulli"), tuple(contestants))


def network(first: nn.Module, second: nn.Module, integrators: nn.Module) -> nn.Sequential:
    """The network with the given neurons."""
    return nn.Sequential(
        nn.Conv2d(1, CHANNELS[0], 3, padding=1),
        first,
        nn.MaxPool2d(2, 2),
        nn.Conv2d(*CHANNELS, 3, padding=1),
        second,
        nn.MaxPool2d(2, 2),
        nn.Flatten(),
        nn.Linear(FLAT, HIDDEN),
        integrators,
        nn.Linear(HIDDEN, CLASSES),
    )


def _contestant(size: Size, name: str, build: Callable[[], Network], remark: str = "") -> Contestant:
    def prepare() -> Run:
        torch.manual_seed(0)
        net, outputs = build()
        images, target = torch.rand(size[1], 1, SIDE, SIDE), torch.randint(CLASSES, size[1:])
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)

        def step() -> float:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(outputs(images).mean(0), target)
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    return Contestant(name, prepare, remark)


def _bionets(quantiser: str, steps: int) -> Network:
    first, second = (LIB(count, dim=-3, beta=BETA, quant_fn=quantiser) for count in CHANNELS)
    net = network(first, second, LI(HIDDEN, beta=BETA)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has no type of it

    def outputs(images: Tensor) -> Tensor:
        reset_states(net)
        return unroll(net, direct(images.contiguous(memory_format=torch.channels_last), steps))

    return net, outputs


def _tracetorch(quantiser: str, steps: int) -> Network:
    from tracetorch import snn

    class Net(snn.TTModel):
        def __init__(self) -> None:
            super().__init__()
            first, second = (snn.LIB(count, dim=-3, quant_fn=quantiser) for count in CHANNELS)
            self.net = network(first, second, snn.LI(HIDDEN))

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    net = Net()

    def outputs(images: Tensor) -> Tensor:
        net.zero_states()
        return torch.stack([net(images) for _ in range(steps)])

    return net, outputs


def _snntorch(steps: int) -> Network:
    from snntorch import Leaky, utils

    class Integrators(Leaky):
        def forward(self, x: Tensor) -> Tensor:
            super().forward(x)
            return self.mem

    learnt = {"init_hidden": True, "learn_beta": True}
    first, second = (Leaky(torch.full((count, 1, 1), BETA), **learnt) for count in CHANNELS)
    net = network(first, second, Integrators(torch.full((HIDDEN,), BETA), reset_mechanism="none", **learnt))

    def outputs(images: Tensor) -> Tensor:
        utils.reset(net)
        return torch.stack([net(images) for _ in range(steps)])

    return net, outputs


def _spikingjelly(steps: int) -> Network:
    from spikingjelly.activation_based import functional, layer, neuron

    class Integrators(neuron.NonSpikingLIFNode):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack(super().forward(x))

    def neurons() -> nn.Module:
        return neuron.ParametricLIFNode(1 / (1 - BETA), decay_input=False, v_reset=None)

    net = nn.Sequential(
        layer.Conv2d(1, CHANNELS[0], 3, padding=1),
        neurons(),
        layer.MaxPool2d(2, 2),
        layer.Conv2d(*CHANNELS, 3, padding=1),
        neurons(),
        layer.MaxPool2d(2, 2),
        layer.Flatten(),
        layer.Linear(FLAT, HIDDEN),
        Integrators(1 / (1 - BETA)),
        layer.Linear(HIDDEN, CLASSES),
    )
    functional.set_step_mode(net, "m")

    def outputs(images: Tensor) -> Tensor:
        functional.reset_net(net)
        return net(images.unsqueeze(0).repeat(steps, 1, 1, 1, 1))

    return net, outputs


def _relu(steps: int) -> Network:
    net = network(nn.ReLU(), nn.ReLU(), nn.ReLU()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has no type of it

    def outputs(images: Tensor) -> Tensor:
        return net(images.repeat(steps, 1, 1, 1)).unflatten(0, (steps, -1))

    return net, outputs


def _work(size: Size, random: bool) -> Work:
    """The least work of one step: between layers, everything is written once and read once in each direction. The
    convolutions are not counted, because no matrix product has the same cost.
    """
    steps, batch = size
    rows, (one, two) = steps * batch, CHANNELS
    half, quarter = (SIDE // 2) ** 2, (SIDE // 4) ** 2
    moved = {
        "pooled spikes, twice written and read with their gradient": 4 * 4 * rows * (one * half + two * quarter),
        "what drives the second neurons, and its gradient": 5 * 4 * rows * two * half,
        "random numbers, read forward and backward": int(random) * 2 * 4 * rows * (one * SIDE**2 + two * half),
    }
    products = (
        Product(rows, FLAT, HIDDEN),
        Product(rows, HIDDEN, FLAT),
        Product(HIDDEN, rows, FLAT),
    )
    drawn = ((rows, one, SIDE, SIDE), (rows, two, SIDE // 2, SIDE // 2)) if random else ()
    return Work({what: count for what, count in moved.items() if count}, products, drawn)

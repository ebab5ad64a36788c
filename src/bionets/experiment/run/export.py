"""A trained model as a file for other programs: torch.export, ONNX or NIR."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bionets.atomic import write_atomically
from bionets.experiment.errors import UserError, one_line
from bionets.experiment.run.trained import load_trained
from bionets.layers import SequenceDropout
from bionets.layers.single_step import SingleStep
from bionets.models import Model
from bionets.models.nir_export import nir_content

PACKAGES = {  # required by each format, and the extra that installs them
    ".pt2": ((), ""),
    ".onnx": (("onnx", "onnxscript", "onnxruntime"), "export"),
    ".nir": (("nir",), "spiking"),
}
EXAMPLE_BATCH, CHECKED_BATCH = 2, 3  # two sizes, to detect a program that is right for one size only
CHECKED_STEPS = 4
SPIKES = 0.3  # share of spikes in the inputs, if the inputs of the task are spikes


def export(
    run: Path | str,
    file: Path | str,
    *,
    single_step: bool | None = None,
    steps: int | None = None,
    checkpoint: str = "best",
    data_dir: str | None = None,
    trust: Sequence[str] = (),
    task_options: Mapping[str, Any] | None = None,
) -> Path:
    """Write the trained model of a run to a file, and check that the file computes the same numbers as the model::

        bionets.export("outputs/smnist/brc/run-110475b5/seed-0", "model.onnx")

    - ``.pt2``: a program of `torch.export`, which runs without bionets.
    - ``.onnx``: a graph for any ONNX runtime. Needs ``pip install 'bionets[export]'``.
    - ``.nir``: a spiking network as a graph of NIR. Needs ``pip install 'bionets[spiking]'``.

    With the whole sequence, the file maps x ``[T, B, input_size]`` (images: ``[B, C, H, W]``) to the prediction, for
    one T; it takes no lengths, so all sequences must have T steps without padding. With a single step, it maps
    ``(x, *states)`` to ``(y, *new_states)`` with x ``[B, input_size]``; the initial states are zeros. B can be any
    size. The single step of a spiking model is one of its network: x is the output of the encoder, and y the input of
    the readout.

    Args:
        run: the run folder. Its data set is not needed, except for the tasks whose shapes it defines (`custom`,
            `time_series`, `shd`, `ssc` and `speech_digits`).
        file: the file to write, whose suffix is the format. An existing file is replaced.
        single_step: whether to export a single step instead of the whole sequence. None: for ``.onnx`` if the model has
            one and ``steps`` is None; not for ``.pt2``. NIR always holds a single step.
        steps: T of the whole sequence; None for the number of steps of the task, if that is fixed.
        checkpoint, data_dir, trust, task_options: as in `bionets.load`.

    Returns:
        The path of the file.

    Raises:
        UserError: the run cannot be loaded, a package is missing, the model or a part of it cannot be exported, or the
            file computes other numbers. Nothing is written then.
    """
    file = Path(file)
    _require_format(file, single_step)
    if steps is not None:
        whole = isinstance(steps, int) and not isinstance(steps, bool)
        if not whole or steps < 1 or single_step or file.suffix == ".nir":
            raise UserError(
                f"steps={steps!r} must be the length of a whole sequence, at least 1: leave it out otherwise"
            )
        single_step = False
    model, _ = load_trained(run, checkpoint, data_dir, trust, data=False, task_options=task_options)
    model.requires_grad_(False)
    with _quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            content = exported(model, file.suffix, single_step, steps)
        except Exception as error:  # exporters raise various errors for unknown layers
            raise UserError(f"{run} ({type(model).__name__}) as {file.name}: {one_line(error)}") from error
    write_atomically(file, content)
    return file


def _require_format(file: Path, single_step: bool | None) -> None:
    if file.suffix not in PACKAGES:
        raise UserError(f"{file} has an unknown suffix: choose {', '.join(PACKAGES)}")
    if file.is_dir() or not file.parent.is_dir():
        problem = "is a folder" if file.is_dir() else f"is in {file.parent}, which is not a folder"
        raise UserError(f"{file} {problem}: name a file in an existing folder")
    if file.suffix == ".nir" and single_step is False:
        raise UserError("NIR holds a single step of a network, never the whole sequence: leave out single_step=False")
    packages, extra = PACKAGES[file.suffix]
    if missing := [package for package in packages if find_spec(package) is None]:
        raise UserError(f"{file.name} needs the package {missing[0]}: pip install 'bionets[{extra}]'")


def exported(model: Model, suffix: str, single_step: bool | None, steps: int | None) -> bytes:
    """The content of the file; see `export`. Raises the errors of exporters."""
    if not model.exportable:
        raise ValueError("its learning rules are not a graph of tensor operations")
    if suffix == ".nir":
        return _nir(model)
    traced = _traced(model, suffix == ".onnx" if single_step is None else single_step, steps, single_step is None)
    return _onnx(traced) if suffix == ".onnx" else _program(traced)


@dataclass(frozen=True)
class _Traced:
    """A module to export, called as ``module(*inputs(batch))``; the batch dimension of each input; the state names."""

    module: nn.Module
    inputs: Callable[[int], tuple[Tensor, ...]]
    batch_dims: tuple[int, ...]
    states: tuple[str, ...] = ()

    def program(self) -> torch.export.ExportedProgram:
        batch = torch.export.Dim("batch", min=1)
        x, *states = ({dim: batch} for dim in self.batch_dims)
        shapes: Any = (x, tuple(states)) if states else (x,)
        inputs = self.inputs(EXAMPLE_BATCH)
        # Run before tracing, so that values that layers compute once and store are not traced tensors.
        first, second = (_as_tuple(self.module(*inputs)) for _ in range(2))
        _require_equal(first, second, "it answers at random, as with a random encoder")
        # Deferred: the solver of guards cannot prove that batch·min(3, 3·batch) = 3·batch.
        return torch.export.export(
            self.module, inputs, dynamic_shapes=shapes, prefer_deferred_runtime_asserts_over_guards=True
        )

    def check(self, run: Callable[..., Any]) -> None:
        """Compare ``run`` with the module over some steps, each from the same states."""
        _, *states = self.inputs(CHECKED_BATCH)
        for _ in range(CHECKED_STEPS):
            x = self.inputs(CHECKED_BATCH)[0]
            expected = _as_tuple(self.module(x, *states))
            _require_equal(_as_tuple(run(x, *states)), expected)
            states = list(expected[1:])


class _Prediction(nn.Module):
    """The forward pass of a model, without the parts of a LightningModule that cannot be traced."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def _traced(model: Model, single_step: bool, steps: int | None, or_whole: bool) -> _Traced:
    """A single step, or the whole sequence; with ``or_whole`` the latter also if the model has no single step."""
    spec = model.spec
    if single_step:
        try:
            return _traced_step(model)
        except ValueError:
            if not or_whole:
                raise
    time = steps or spec.steps or int(spec.image_shape is not None)
    if not time:
        raise ValueError("the task has no fixed number of steps: give it, as in steps=20")
    return _Traced(_Prediction(model), lambda batch: (_example(model, batch, time),), (spec.batch_dims[0],))


def _traced_step(model: Model) -> _Traced:
    step = _single_step(model)

    def inputs(batch: int) -> tuple[Tensor, ...]:
        x = _example_step(model, batch)
        return (x, *step.initial_states(x))

    states = inputs(EXAMPLE_BATCH)[1:]
    if any(state.is_floating_point() and bool(state.any()) for state in states):
        raise ValueError("the states do not start at zero: export the whole sequence, single_step=False")
    return _Traced(step, inputs, (0, *map(step.batch_dim_of, states)), step.state_names)


def _single_step(model: Model) -> SingleStep:
    for name, module in [*model.named_modules(remove_duplicate=False)]:
        if isinstance(module, SequenceDropout):  # the identity in evaluation, whose mask would be a state
            model.set_submodule(name, nn.Identity())
    return model.single_step(_example_step(model, EXAMPLE_BATCH)).eval()


def _example_step(model: Model, batch: int) -> Tensor:
    return model.step_inputs(_example(model, batch, model.spec.steps or CHECKED_STEPS))[0]


def _example(model: Model, batch: int, time: int) -> Tensor:
    """Random inputs that fit the model's task."""
    spec = model.spec
    shape = (time, batch, spec.input_size) if spec.image_shape is None else (batch, *spec.image_shape)
    x = torch.rand(shape)
    return (x < SPIKES).float() if spec.spikes else x


def _program(traced: _Traced) -> bytes:
    file = io.BytesIO()
    torch.export.save(traced.program(), file)
    file.seek(0)
    traced.check(torch.export.load(file).module())
    return file.getvalue()


def _onnx(traced: _Traced) -> bytes:
    import onnxruntime

    names = ("x", *traced.states)
    outputs = ("y", *(f"new_{name}" for name in traced.states))
    found = torch.onnx.export(traced.program(), (), input_names=names, output_names=outputs, dynamo=True, verbose=False)
    assert found is not None
    content: bytes = found.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        arrays = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return tuple(map(torch.from_numpy, session.run(None, arrays)))

    traced.check(run)
    return content


def _nir(model: Model) -> bytes:
    sequence = torch.stack([_example_step(model, CHECKED_BATCH) for _ in range(CHECKED_STEPS)])
    content, read, expected = nir_content(_single_step(model), _example_step(model, EXAMPLE_BATCH), sequence)
    _require_equal((read,), (expected,))
    return content


def _require_equal(
    found: tuple[Tensor, ...], expected: tuple[Tensor, ...], problem: str = "what was exported computes other numbers"
) -> None:
    try:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    except AssertionError as error:
        raise ValueError(problem) from error


def _as_tuple(result: Any) -> tuple[Tensor, ...]:
    return (result,) if isinstance(result, Tensor) else tuple(result)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the messages and warnings of exporters, and disable gradients."""
    disabled = logging.root.manager.disable
    with warnings.catch_warnings(action="ignore"), torch.no_grad():
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)

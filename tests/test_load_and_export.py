"""bionets.load and bionets.export: loaded and exported models compute what the model of the run computes."""

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import bionets
from bionets.experiment.errors import UserError
from bionets.experiment.run import export as module
from bionets.experiment.run.data import prepare_data
from bionets.experiment.run.run_folder import RunFolder
from bionets.layers import SpatialRecurrent, get_states, set_states
from bionets.layers.single_step import RecurrentStep, StatefulStep
from bionets.layers.spiking import LIB
from bionets.models import (
    Model,
    RecurrentModel,
    SpikingConvModel,
    SpikingRecurrentModel,
    StackModel,
    STDPModel,
    StigmergicModel,
    StigmergicPerceptronModel,
)
from bionets.scan.interface import default_backend
from bionets.tasks import BinaryAddition, TaskSpec
from tests.acceptance.conftest import SMALL, Command, cli, the_run, workplace

__all__ = ["cli", "workplace"]  # fixtures

ROOT = Path(__file__).parents[1]
TINY = (*SMALL, "trainer.max_epochs=1", "task.train_size=20")
LOAD = """
import sys, torch
for file in sys.argv[1:]:
    inputs, expected = torch.load(file + ".numbers")
    torch.testing.assert_close(torch.export.load(file).module()(*inputs), expected)
assert "bionets" not in sys.modules
print(len(sys.argv) - 1, "loaded")
"""


@pytest.fixture
def run(cli: Command, workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.getbasetemp() / "run-to-load"
    if not made.exists():
        assert cli("train", *TINY, f"paths.output_dir={made}").code == 0
    shutil.copytree(made, workplace / "outputs")
    return the_run(workplace / "outputs").path


def test_importing_bionets_does_not_import_torch() -> None:
    code = "import bionets, sys; print('torch' in sys.modules, {'load', 'export'} <= {*dir(bionets)})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]
    with pytest.raises(AttributeError, match="no attribute 'loaded'"):
        bionets.loaded  # noqa: B018


def test_load_gives_the_model_and_task_of_a_run(run: Path) -> None:
    model, task = bionets.load(run)
    assert isinstance(task, BinaryAddition) and not model.training
    saved = torch.load(RunFolder(run).best, weights_only=True)["state_dict"]
    assert all(torch.equal(model.state_dict()[name], value) for name, value in saved.items())


def test_a_model_is_loaded_without_its_data(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = bionets.load(run)

    def missing(task: BinaryAddition) -> None:
        raise ValueError("there are no data")

    monkeypatch.setattr(BinaryAddition, "prepare_data", missing)
    with pytest.raises(UserError, match="there are no data"):
        bionets.load(run)
    model, task = bionets.load(run, data=False)
    x = torch.rand(7, 3, task.spec.input_size)
    assert torch.equal(model(x), expected(x))


def test_a_run_of_own_data_that_were_moved_is_loaded_and_exported(cli: Command, workplace: Path) -> None:
    numbers = np.random.default_rng(0)
    np.savez(workplace / "own.npz", x=numbers.random((40, 5, 2), np.float32), y=numbers.integers(0, 3, 40))
    words = ("model=brc", "model.hidden_size=4", "task=custom", "task.data=own.npz", "trainer.max_epochs=1")
    assert cli("train", *words, "logger=none", f"paths.output_dir={workplace}/outputs").code == 0
    folder = the_run(workplace / "outputs").path
    (workplace / "own.npz").rename(workplace / "moved.npz")
    with pytest.raises(UserError, match=r"own\.npz does not exist"):
        bionets.export(folder, workplace / "model.pt2")
    moved = {"data": str(workplace / "moved.npz")}
    model, _ = bionets.load(folder, task_options=moved)
    program = torch.export.load(bionets.export(folder, workplace / "model.pt2", task_options=moved)).module()
    x = torch.rand(5, 3, 2)
    torch.testing.assert_close(program(x), model(x))


def test_an_earlier_run_whose_loss_is_refused_now_can_be_loaded(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BinaryAddition, "loss", lambda self, prediction, target: prediction.new_zeros(2))
    _, task = bionets.load(run)
    with pytest.raises(UserError, match="must be a tensor of one number"):
        prepare_data(task)


def run_onnx() -> Callable[[Path, np.ndarray], np.ndarray]:
    """The function that the documentation shows."""
    pytest.importorskip("onnxruntime")
    names: dict[str, Callable[[Path, np.ndarray], np.ndarray]] = {}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own_loop.md").read_text(), re.DOTALL)
    (block,) = (block for block in blocks if "def run_onnx" in block)
    exec(block, names)
    return names["run_onnx"]


@pytest.mark.slow
def test_onnx_runtime_gives_the_predictions_of_the_model(run: Path, workplace: Path) -> None:
    model, task = bionets.load(run)
    file = bionets.export(run, workplace / "model.onnx")
    for batch in (1, 4):
        x = torch.rand(9, batch, task.spec.input_size)
        predictions = run_onnx()(file, x.numpy())
        np.testing.assert_allclose(predictions, model(x).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_number_of_steps_exports_the_whole_sequence_without_states(run: Path, workplace: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    inputs = onnxruntime.InferenceSession(bionets.export(run, "model.onnx", steps=5)).get_inputs()
    assert [each.name for each in inputs] == ["x"] and inputs[0].shape[0] == 5  # no states


@pytest.mark.slow
def test_programs_run_in_a_process_without_bionets(run: Path, workplace: Path) -> None:
    model, task = bionets.load(run)
    whole = bionets.export(run, "whole.pt2", steps=5)
    one = bionets.export(run, "one.pt2", single_step=True)
    x = torch.rand(5, 4, task.spec.input_size)
    torch.save(((x,), model(x).detach()), f"{whole}.numbers")
    step = model.single_step(x[0])
    inputs = (x[0], *(torch.rand_like(state) for state in step.initial_states(x[0])))
    torch.save((inputs, tuple(each.detach() for each in step(*inputs))), f"{one}.numbers")
    found = subprocess.run(
        [sys.executable, "-c", LOAD, str(whole), str(one)], capture_output=True, text=True, check=False
    )
    assert found.stdout.strip() == "2 loaded", found.stderr[-2000:]


@pytest.mark.parametrize(
    ("file", "arguments", "message"),
    [
        ("model.h5", {}, "unknown suffix: choose .pt2, .onnx, .nir"),
        ("model.pt2", {}, "no fixed number of steps"),
        ("model.nir", {}, "networks of spiking neurons only"),
        ("model.nir", {"single_step": False}, "NIR holds a single step"),
        ("model.pt2", {"steps": 5, "single_step": True}, "steps=5 must be the length of a whole sequence"),
        ("model.pt2", {"steps": 0}, "steps=0 must be"),
        ("model.pt2", {"steps": "5"}, "steps='5' must be"),
        ("model.pt2", {"steps": 2.5}, "steps=2.5 must be"),
        ("missing/model.pt2", {}, "is in missing, which is not a folder: name a file in an existing folder"),
        ("model.pt2", {"checkpoint": "first"}, "choose best or last"),
    ],
)
def test_an_invalid_export_gives_a_one_line_error_and_leaves_no_file(
    run: Path, workplace: Path, file: str, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError) as refused:
        bionets.export(run, file, **arguments)  # type: ignore[arg-type]
    assert message in str(refused.value) and "\n" not in str(refused.value)
    assert not (workplace / file).exists()


def test_a_missing_package_gives_an_error_with_the_pip_command(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package onnx: pip install 'bionets\[export\]'"):
        bionets.export(run, "model.onnx")


SEQUENCE = TaskSpec("sequence_to_class", 3, 5, steps=4)
IMAGE = TaskSpec("image_to_class", 64, 5, image_shape=(1, 8, 8))
HARD = {"spike_fn": "arctan"}
STEPWISE: dict[str, Callable[[], Model]] = {
    "brc": lambda: RecurrentModel(SEQUENCE, "bionets.layers.BRC", hidden_size=4, num_layers=2),
    "lmu": lambda: RecurrentModel(SEQUENCE, "bionets.layers.LMU", hidden_size=4),
    "lstm": lambda: RecurrentModel(SEQUENCE, "torch.nn.LSTM", hidden_size=4),
    "stigmergic": lambda: StigmergicModel(SEQUENCE),
    "spiking": lambda: SpikingRecurrentModel(SEQUENCE, hidden_size=6, layer_arguments=HARD),
    "spiking image": lambda: SpikingConvModel(IMAGE, (2,), hidden_size=6, layer_arguments=HARD),
    "stack": lambda: StackModel(SEQUENCE, [{"layer": each, "size": 4} for each in ("BRC", "StigmergicMemory", "LIB")]),
    "dropout": lambda: StackModel(SEQUENCE, [{"layer": "BRC", "size": 4, "dropout": 0.2}]),
}


@pytest.mark.parametrize("name", STEPWISE)
def test_single_steps_give_the_result_of_the_whole_sequence(name: str) -> None:
    torch.manual_seed(0)
    model = STEPWISE[name]().eval()
    spec = model.spec
    x = torch.rand(3, *IMAGE.image_shape) if spec.image_shape and IMAGE.image_shape else torch.rand(4, 3, 3)
    steps = model.step_inputs(x)
    one = model.single_step(steps[0])
    states, outputs = one.initial_states(steps[0]), []
    assert len(states) == len(one.state_names)
    for step in steps:
        output, *states = one(step, *states)  # type: ignore[assignment]
        outputs.append(output)
    readout: Callable[[Tensor], Tensor] = getattr(model, "readout", lambda y: y[-1])
    found = readout(torch.stack(outputs)) if name.startswith("spiking") else outputs[-1]
    torch.testing.assert_close(found, model(x), rtol=1e-5, atol=1e-6)


def test_a_single_step_does_not_change_the_states_of_its_network() -> None:
    network = LIB(3, spike_fn="arctan")
    network(torch.rand(2, 3))
    kept = {name: state.clone() for name, state in get_states(network).items()}
    step = StatefulStep(network, torch.rand(5, 3))
    step(torch.rand(5, 3), *step.initial_states(torch.rand(5, 3)))
    assert all(torch.equal(state, kept[name]) for name, state in get_states(network).items())
    set_states(network, {})


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPWISE)
@pytest.mark.parametrize(("suffix", "single"), [(".pt2", True), (".pt2", False), (".onnx", True)])
def test_every_family_is_exported_and_checked(name: str, suffix: str, single: bool) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    assert module.exported(STEPWISE[name]().eval().requires_grad_(False), suffix, single, None)


@pytest.mark.parametrize("name", ["brc", "lstm"])
def test_a_program_takes_any_batch_size(name: str) -> None:
    """Also that of one of its other dimensions: 3 inputs, 4 steps and units, 5 classes."""
    torch.manual_seed(0)
    model = STEPWISE[name]().eval().requires_grad_(False)
    program = torch.export.load(io.BytesIO(module.exported(model, ".pt2", False, None))).module()
    for batch in range(1, 9):
        x = torch.rand(4, batch, 3)
        torch.testing.assert_close(program(x), model(x))


@pytest.mark.slow
def test_a_spiking_network_is_exported_to_nir() -> None:
    pytest.importorskip("nir")
    for model in (
        SpikingRecurrentModel(SEQUENCE, hidden_size=6, layer_arguments=HARD),
        SpikingConvModel(IMAGE, (2,), pool="average", hidden_size=6, layer_arguments=HARD),
    ):
        assert module.exported(model.eval().requires_grad_(False), ".nir", None, None)


@pytest.mark.parametrize(
    ("make", "suffix", "single", "message"),
    [
        (lambda: STDPModel(IMAGE, hidden_size=4), ".pt2", False, "learning rules"),
        (lambda: StigmergicPerceptronModel(SEQUENCE), ".pt2", True, "does not work step by step"),
        (
            lambda: RecurrentModel(SEQUENCE, "bionets.layers.BRC", hidden_size=4, bidirectional=True),
            ".pt2",
            True,
            "bidirectional BRC cannot run step by step",
        ),
        (lambda: SpikingConvModel(IMAGE, (2,), layer_arguments=HARD), ".nir", None, "MaxPool2d"),
        (lambda: SpikingConvModel(IMAGE, (2,)), ".pt2", True, "random spikes cannot be exported"),
        (
            lambda: SpikingConvModel(IMAGE, (2,), layer_arguments=HARD, encoder="rate"),
            ".pt2",
            False,
            "answers at random",
        ),
    ],
)
def test_a_model_that_cannot_be_exported_is_refused_with_the_reason(
    make: Callable[[], Model], suffix: str, single: bool | None, message: str
) -> None:
    torch.manual_seed(0)
    with pytest.raises((ValueError, RuntimeError), match=message):
        module.exported(make().eval().requires_grad_(False), suffix, single, None)


def test_an_export_with_different_outputs_is_refused() -> None:
    traced = module._traced(STEPWISE["lstm"]().eval(), True, None, False)
    with pytest.raises(ValueError, match="other numbers"), torch.no_grad():
        traced.check(lambda *inputs: tuple(1.01 * each for each in traced.module(*inputs)))


def test_train_prints_layers_device_and_backend(cli: Command) -> None:
    outcome = cli("train", *TINY, "accelerator=cpu")
    assert outcome.code == 0, outcome.error
    lines = [line.split() for line in outcome.out.splitlines()]
    (model,) = (line for line in lines if line[:1] == ["model"])
    assert "199 parameters" in " ".join(model) and f"device cpu, {default_backend('cpu')} backend" in " ".join(model)
    named = {line[0]: line for line in lines if line[:1] in (["recurrent"], ["readout"])}
    assert named["recurrent"][1].startswith("BRC") and named["readout"][-1] == "7"


class LeakySum(torch.nn.Module):
    """A layer of a user's own, whose state is ``[B, H]``."""

    def forward(self, x: torch.Tensor, h: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        states = [x.new_zeros(x.shape[1:]) if h is None else h]
        for step in x:
            states.append(0.9 * states[-1] + step)
        return torch.stack(states[1:]), states[-1]


class TwoStates(torch.nn.Module):
    """A layer of a user's own with two states, as those of `torch.nn.LSTM`."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(input_size, hidden_size)

    def forward(self, x: torch.Tensor, states: Any = None) -> Any:
        return self.lstm(x, states)


def test_a_single_step_of_a_users_layer_has_a_name_for_each_state() -> None:
    x = torch.randn(2, 3)
    step = RecurrentStep(TwoStates(3, 4), x=x)
    assert step.state_names == ("h0", "c0") == RecurrentStep(torch.nn.LSTM(3, 4), x=x).state_names
    assert RecurrentStep(SpatialRecurrent(torch.nn.LSTM(3, 4))).state_names == ("h0", "c0")
    model = RecurrentModel(SEQUENCE, "tests.test_load_and_export.TwoStates", hidden_size=4)
    assert module.exported(model.eval().requires_grad_(False), ".onnx", True, None)


def test_a_single_step_of_a_layer_with_a_state_of_two_dimensions_is_exported_for_any_batch_size() -> None:
    step, x, batch = RecurrentStep(LeakySum()), torch.randn(2, 3), torch.export.Dim("batch", min=1)
    states = step.initial_states(x)
    shapes = ({0: batch}, tuple({step.batch_dim_of(state): batch} for state in states))
    program = torch.export.export(step, (x, *states), dynamic_shapes=shapes).module()
    x, state = torch.randn(5, 3), torch.randn(5, 3)
    for found in program(x, state):
        torch.testing.assert_close(found, 0.9 * state + x)

"""A user's own data from files, folders and data sets."""

import csv
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from bionets.tasks import CustomData
from bionets.tasks.checks import check_batch

N, T, I = 40, 6, 3


def sequences() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(N, T, I, generator=generator), torch.arange(N) % 4


def write(path: Path, x: Tensor, y: Tensor) -> str:
    if path.suffix == ".pt":
        torch.save({"x": x, "y": y}, path)
    elif path.suffix == ".safetensors":
        save_file({"x": x.contiguous(), "y": y.contiguous()}, path)
    else:
        np.savez(path, x=x.numpy(), y=y.numpy())
    return str(path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz"])
def test_every_file_format_gives_the_same_task(suffix: str, tmp_path: Path) -> None:
    x, y = sequences()
    task = CustomData(write(tmp_path / f"data{suffix}", x, y))
    assert (task.spec.kind, task.spec.input_size, task.spec.output_size, task.spec.steps) == (
        "sequence_to_class",
        I,
        4,
        T,
    )
    parts = [task.train_data(0), task.val_data(), task.test_data("test")]
    assert [part[0].shape for part in parts] == [(T, 32, I), (T, 4, I), (T, 4, I)]
    together = torch.cat([part[0] for part in parts], 1).transpose(0, 1)
    rows = {tuple(row.flatten().tolist()): int(label) for row, label in zip(x, y, strict=True)}
    labels = torch.cat([part[1] for part in parts])
    assert len({tuple(row.flatten().tolist()) for row in together}) == N  # no sample twice
    assert all(rows[tuple(row.flatten().tolist())] == label for row, label in zip(together, labels, strict=True))


def test_the_split_does_not_depend_on_the_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "data.npz", *sequences())
    assert torch.equal(CustomData(path, seed=0).test_data("test")[0], CustomData(path, seed=1).test_data("test")[0])


def test_the_split_is_random_and_depends_on_its_own_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "data.npz", *sequences())
    first, second = (CustomData(path, split_seed=seed).test_samples("test") for seed in (0, 1))
    assert first != second
    assert all(sorted(rows) != list(range(N - 4, N)) for rows in (first, second))  # not the last ones of the file


@pytest.mark.parametrize(
    ("y", "kind", "output_size", "target_shape"),
    [
        (torch.randn(N), "sequence_to_value", 1, (32, 1)),
        (torch.randn(N, 2), "sequence_to_value", 2, (32, 2)),
        (torch.randn(N, T), "sequence_to_sequence", 1, (T, 32, 1)),
        (torch.randn(N, T, 2), "sequence_to_sequence", 2, (T, 32, 2)),
    ],
)
def test_the_kind_of_the_task_follows_from_the_targets(
    y: Tensor, kind: str, output_size: int, target_shape: tuple[int, ...], tmp_path: Path
) -> None:
    task = CustomData(write(tmp_path / "data.pt", sequences()[0], y))
    _, target = task.train_data(0)
    assert (task.spec.kind, task.spec.output_size) == (kind, output_size)
    assert target.shape == target_shape
    prediction = torch.zeros(target_shape)
    assert task.loss(prediction, target) == pytest.approx(float(target.square().mean()))


def write_csv(path: Path, header: list[str], rows: list[list[object]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def test_a_csv_of_sequences_is_read(tmp_path: Path) -> None:
    rows = [[f"s{n}", t, n * 10 + t, -t, "left" if n % 2 else "right"] for n in range(20) for t in range(5)]
    path = write_csv(tmp_path / "data.csv", ["id", "t", "a", "b", "label"], rows)
    task = CustomData(path, inputs=["a", "b"], targets="label", sequences="id")
    assert task.classes == ("left", "right")
    assert (task.spec.kind, task.spec.steps) == ("sequence_to_class", 5)
    x, y = task.train_data(0)
    number = x[0, :, 0] / 10
    assert torch.equal(x[:, 0, 1], -torch.arange(5.0))
    assert torch.equal(y, 1 - (number.long() % 2))


def test_a_csv_of_single_rows_becomes_images_of_one_row(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", ["a", "b", "y"], [[n, n / 2, n % 3] for n in range(30)])
    task = CustomData(path)
    assert (task.spec.kind, task.spec.image_shape, task.spec.output_size) == ("image_to_class", (1, 1, 2), 3)


def test_texts_with_an_underscore_are_names(tmp_path: Path) -> None:
    """Python reads 1_2 as 12, which is another class."""
    names = ("12", "1_2", "2_1")
    path = write_csv(tmp_path / "data.csv", ["a", "y"], [[n, names[n % 3]] for n in range(30)])
    assert CustomData(path).classes == names
    path = write_csv(tmp_path / "inputs.csv", ["a", "y"], [[f"{n}_0", n % 2] for n in range(30)])
    with pytest.raises(ValueError, match="line 2, column a: '0_0' is not a number"):
        CustomData(path)


def make_images(folder: Path) -> str:
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for n in range(10):
            Image.fromarray(np.full((4, 5, 3), 100 * number + n, dtype=np.uint8)).save(folder / name / f"{n}.png")
    return str(folder)


def test_a_folder_of_images_is_read_with_its_classes(tmp_path: Path) -> None:
    path = make_images(tmp_path / "images")
    task = CustomData(path)
    assert task.classes == ("cat", "dog")
    assert task.spec.image_shape == (3, 4, 5)
    x, y = task.train_data(0)
    assert torch.equal((x[:, 0, 0, 0] * 255 > 50).long(), y)
    rows = CustomData(path, read_as="rows")
    assert (rows.spec.kind, rows.spec.steps, rows.spec.input_size) == ("sequence_to_class", 4, 15)
    assert CustomData(path, read_as="pixels").spec.steps == 20


def test_an_image_has_the_orientation_of_its_camera(tmp_path: Path) -> None:
    upright = np.arange(20, dtype=np.uint8).reshape(4, 5)
    turned = Image.Exif()
    turned[0x0112] = 6  # the first row of the file is the right side of the image
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for n in range(10):
            Image.fromarray(np.rot90(upright).copy()).save(tmp_path / name / f"{n}.png", exif=turned)
    task = CustomData(str(tmp_path))
    assert task.spec.image_shape == (1, 4, 5)
    assert torch.equal((task._x[0, 0] * 255).round().byte(), torch.from_numpy(upright))


def test_images_of_every_common_format_are_read(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for n in range(10):
            Image.new("L", (5, 4), n).convert("RGB").save(tmp_path / name / f"{n}{('.webp', '.ppm')[n % 2]}")
    assert len(CustomData(str(tmp_path))._x) == 20
    with pytest.raises(ValueError, match=r"a folder of images for each of at least two classes; .* end in \.bmp, "):
        CustomData(str(tmp_path / "cat"))


class Pairs(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __len__(self) -> int:
        return 20

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        return torch.full((4, 2), float(number)), number % 2


class Arrays(Pairs):
    """Arrays of numpy in reverse order, in a byte order that torch does not have, or without dimensions."""

    def __init__(self, count: int = 20) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[Any, Any]:  # type: ignore[override]
        x = np.array([[number], [-number]])[::-1]
        return x.astype(">f4") if number % 2 else x, np.array(number % 2)


def test_a_data_set_may_return_any_arrays() -> None:
    path = f"{__name__}.Arrays"
    task = CustomData(path)
    assert task.spec.kind == "sequence_to_class"
    assert torch.equal(task._x[:, :, 0], torch.arange(20.0) * torch.tensor([[-1.0], [1.0]]))
    with pytest.raises(ValueError, match=r"is not a data set of pairs \(it has no samples\)"):
        CustomData(path, arguments={"count": 0})
    with pytest.raises(ValueError, match=r"is not a data set of pairs \(IndexError: "):
        CustomData(path, targets=["a", "b"])


class OneBuffer(Pairs):
    """The same arrays for every sample, with other numbers."""

    def __init__(self) -> None:
        self.x, self.y = torch.zeros(4, 2), np.zeros(1)

    def __getitem__(self, number: int) -> tuple[Tensor, Any]:  # type: ignore[override]
        self.x[:] = self.y[:] = number
        return self.x, self.y


def test_a_data_set_may_return_the_same_arrays_each_time() -> None:
    task = CustomData(f"{__name__}.OneBuffer")
    assert torch.equal(task._x[0], torch.arange(20.0).unsqueeze(1).expand(20, 2))
    assert torch.equal(task._y[:, 0], torch.arange(20.0))


class Ragged(Pairs):
    """Sequences of 1 to 4 steps, and one with other features than the others if it is asked for."""

    def __init__(self, odd: int = -1) -> None:
        self.odd = odd

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        return torch.full((number % 4 + 1, 3 if number == self.odd else 2), float(number + 1)), number % 2


class Stepwise(Pairs):
    """A target for each of 1 to 4 steps."""

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        steps = number % 4 + 1
        return torch.full((steps, 2), float(number + 1)), torch.full((steps,), float(number + 1))


class SeveralLabels(Pairs):
    """Targets whose lengths are not those of the sequences."""

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return torch.ones(4, 2), torch.ones(number % 3 + 1)


@pytest.fixture
def my_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("my_pairs")
    for kind in (Pairs, Ragged, Stepwise, SeveralLabels):
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "my_pairs", module)


@pytest.mark.usefixtures("my_pairs")
def test_a_data_set_is_read_by_import_path() -> None:
    task = CustomData("my_pairs.Pairs")
    x, y = task.train_data(0)
    assert torch.equal(x[0, :, 0].long() % 2, y)


@pytest.mark.usefixtures("my_pairs")
def test_a_data_set_may_have_sequences_of_different_lengths() -> None:
    task = CustomData("my_pairs.Ragged")
    x, y, lengths = task.train_data(0)
    assert task.spec.lengths and (task.spec.kind, len(x)) == ("sequence_to_class", 4)
    assert torch.equal((x[0, :, 0].long() - 1) % 4 + 1, lengths)
    for sample, of, steps in zip(x.unbind(1), y, lengths, strict=True):
        assert torch.equal(sample[:steps], sample[0].expand(steps, 2)) and not sample[steps:].any()
        assert (int(sample[0, 0]) - 1) % 2 == of


@pytest.mark.usefixtures("my_pairs")
def test_targets_at_every_step_are_as_long_as_their_sequences() -> None:
    task = CustomData("my_pairs.Stepwise")
    x, y, lengths = task.train_data(0)
    assert task.spec.kind == "sequence_to_sequence" and y.shape == (*x.shape[:2], 1)
    for sample, target, steps in zip(x.unbind(1), y.unbind(1), lengths, strict=True):
        assert torch.equal(target[:steps, 0], sample[:steps, 0])


@pytest.mark.usefixtures("my_pairs")
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("SeveralLabels", {}, r"targets of the shapes \[1\] \(sample 0\) and \[2\] \(sample 1\)"),
        (
            "Ragged",
            {"odd": 5},
            r"not a data set .*inputs of the shapes \[1, 2\] \(sample 0\) and \[2, 3\] \(sample 5\)",
        ),
        ("Ragged", {"odd": "five"}, "refuses task.arguments={'odd': 'five'}: task.arguments.odd must be int"),
        ("Pairs", {"odd": 5}, "refuses task.arguments={'odd': 5}: Pairs"),
    ],
)
def test_invalid_data_sets_are_refused(name: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CustomData(f"my_pairs.{name}", arguments=arguments)


def test_standardised_features_have_mean_0_and_deviation_1_on_the_training_set(tmp_path: Path) -> None:
    x, y = sequences()
    task = CustomData(write(tmp_path / "data.pt", 5 + 3 * x, y), standardise=True)
    trained, _ = task.train_data(0)
    torch.testing.assert_close(trained.mean((0, 1)), torch.zeros(I), atol=1e-5, rtol=0)
    torch.testing.assert_close(trained.flatten(0, 1).std(0), torch.ones(I), atol=1e-5, rtol=0)


def test_balanced_class_weights_weigh_each_class_equally(tmp_path: Path) -> None:
    x, _ = sequences()
    y = (torch.arange(N) % 4 == 0).long()
    task = CustomData(write(tmp_path / "data.pt", x, y), class_weights="balanced")
    counts = torch.bincount(task.train_data(0)[1])
    assert task.class_weights is not None
    weighed = task.class_weights * counts
    torch.testing.assert_close(weighed[0], weighed[1])


def test_a_class_without_training_samples_weighs_as_with_one(tmp_path: Path) -> None:
    x, _ = sequences()
    y = torch.arange(N) % 2
    y[CustomData(write(tmp_path / "data.pt", x, y)).test_samples("test")] = 2
    task = CustomData(write(tmp_path / "data.pt", x, y), class_weights="balanced")
    counts = torch.bincount(task.train_data(0)[1], minlength=3)
    assert counts[2] == 0 and task.class_weights is not None
    torch.testing.assert_close(task.class_weights[2], task.class_weights[0] * counts[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "missing.npz"}, "does not exist"),
        ({"data": "no_such_module.Data"}, "neither a file nor an importable data set"),
        ({"targets": "z"}, "has no 'z': it has x, y: name them by task.inputs"),
        ({"val_share": 0.0}, "val_share must be above 0 and below 1"),
        ({"test_share": 0.95}, "too few for shares"),
        ({"read_as": "diagonal"}, "read_as=diagonal is unknown"),
        ({"read_as": "pixels"}, r"are for images: the inputs are sequences of \(\d+, \d+\)"),
        ({"size": [4, 4]}, "are for images"),
        ({"colour": "gray"}, "are for images"),
        ({"class_weights": [1.0]}, "must be 4 numbers"),
        ({"class_weights": "even"}, "class_weights must be balanced or 4 numbers"),
    ],
)
def test_invalid_options_give_a_one_line_error(change: dict[str, object], message: str, tmp_path: Path) -> None:
    arguments = {"data": write(tmp_path / "data.npz", *sequences()), **change}
    with pytest.raises(ValueError, match=message) as error:
        CustomData(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("split", "name"), [("train", "training"), ("val", "validation"), ("test", "test")])
def test_class_weights_without_a_loss_on_a_set_are_refused(split: str, name: str, tmp_path: Path) -> None:
    x, y = sequences()
    rows = CustomData(write(tmp_path / "data.npz", x, y))._parts[split]
    y = torch.arange(N) % 3 + 1
    y[rows] = 0
    path, weights = write(tmp_path / "data.npz", x, y), [0.0, 1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match=f"all classes of the {name} set have the weight 0, so it has no loss"):
        CustomData(path, class_weights=weights)
    CustomData(path, class_weights=weights, class_names={"y": 4})  # as other data for a trained network


def test_invalid_files_are_refused(tmp_path: Path) -> None:
    x, y = sequences()
    x[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="holds NaN"):
        CustomData(write(tmp_path / "nan.npz", x, y))
    for suffix in (".pt", ".safetensors", ".npz"):
        (tmp_path / f"broken{suffix}").write_bytes(b"no data at all")
        with pytest.raises(ValueError, match="cannot be read"):
            CustomData(str(tmp_path / f"broken{suffix}"))
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object), y=np.array([1]))
    with pytest.raises(ValueError, match="cannot be read"):
        CustomData(str(tmp_path / "objects.npz"))
    path = write_csv(tmp_path / "text.csv", ["a", "y"], [[1, 0], ["one", 1]])
    with pytest.raises(ValueError, match=r"line 3, column a: 'one' is not a number"):
        CustomData(path)


def test_lengths_come_with_each_batch(tmp_path: Path) -> None:
    x, y = sequences()
    lengths = torch.arange(N) % T + 1
    np.savez(tmp_path / "data.npz", x=x.numpy(), y=y.numpy(), steps=lengths.numpy())
    task = CustomData(str(tmp_path / "data.npz"), lengths="steps", batch_size=10)
    assert task.spec.lengths
    rows = {tuple(row[0].tolist()): int(length) for row, length in zip(x, lengths, strict=True)}
    for batch in (*task.train_batches(0), *task.val_dataloader(), *task.test_dataloader()[0]):
        steps, _, own = batch
        for b, length in enumerate(own.tolist()):
            assert rows[tuple(steps[0, b].tolist())] == length
            assert not steps[length:, b].any()
            assert steps[:length, b].all()


def test_features_are_standardised_over_the_valid_steps(tmp_path: Path) -> None:
    x, y = sequences()
    lengths = torch.arange(N) % T + 1
    valid = torch.arange(T) < lengths.unsqueeze(1)
    torch.save({"x": torch.where(valid.unsqueeze(2), x, 1e4), "y": y, "lengths": lengths}, tmp_path / "data.pt")
    task = CustomData(str(tmp_path / "data.pt"), lengths="lengths", standardise=True)
    steps, _, own = task.train_data(0)
    kept = steps[torch.arange(T).unsqueeze(1) < own]
    torch.testing.assert_close(kept.mean(0), torch.zeros(I), atol=1e-5, rtol=0)
    torch.testing.assert_close(kept.std(0), torch.ones(I), atol=1e-5, rtol=0)


@pytest.mark.parametrize("each_step", [False, True])
def test_sequences_of_a_csv_may_differ_in_rows(each_step: bool, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "a", "b", "y"])
        for number in range(20):
            for step in range(1 + number % 3):
                target = 0.5 * step if each_step else number % 2
                writer.writerow([f"s{number}", number + 1, step + 1, target])
    task = CustomData(str(path), sequences="name")
    assert task.spec.kind == ("sequence_to_sequence" if each_step else "sequence_to_class")
    x, y, lengths = task.train_data(0)
    for n in range(x.shape[1]):
        number, length = int(x[0, n, 0]) - 1, int(lengths[n])
        assert length == 1 + number % 3
        assert x[:, n, 1].tolist() == [*range(1, length + 1), *[0] * (3 - length)]
        if each_step:
            assert y[:length, n, 0].tolist() == [0.5 * step for step in range(length)]
        else:
            assert int(y[n]) == number % 2


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (torch.zeros(N, dtype=torch.long), "between 1 and T = 6"),
        (torch.full((N,), T + 1), "between 1 and T = 6"),
        (torch.ones(N), "whole numbers"),
        (torch.ones(N - 1, dtype=torch.long), "whole numbers"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(lengths: Tensor, message: str, tmp_path: Path) -> None:
    x, y = sequences()
    torch.save({"x": x, "y": y, "lengths": lengths}, tmp_path / "data.pt")
    with pytest.raises(ValueError, match=message):
        CustomData(str(tmp_path / "data.pt"), lengths="lengths")


def test_several_targets_of_sequences_of_different_lengths_are_refused(tmp_path: Path) -> None:
    x, y = sequences()
    torch.save({"x": x, "y": y, "z": y, "lengths": torch.arange(N) % T + 1}, tmp_path / "data.pt")
    with pytest.raises(ValueError, match="sequences of different lengths go with one target"):
        CustomData(str(tmp_path / "data.pt"), lengths="lengths", targets=["y", "z"])


@pytest.mark.parametrize(("y", "outputs"), [(torch.randn(N), 1), (torch.randn(N, 2), 2)])
@pytest.mark.parametrize("shape", [(5,), (2, 4, 3)])
def test_numbers_are_predicted_from_vectors_and_images(
    y: Tensor, outputs: int, shape: tuple[int, ...], tmp_path: Path
) -> None:
    task = CustomData(write(tmp_path / "data.pt", torch.randn(N, *shape), y))
    spec = task.spec
    assert (spec.kind, spec.output_size, spec.batch_dims) == ("image_to_value", outputs, (0, 0))
    assert spec.image_shape == (shape if len(shape) == 3 else (1, 1, 5))
    x, target = task.train_data(0)
    assert x.shape == (32, *spec.image_shape) and target.shape == (32, outputs)
    check_batch(spec, x, target)
    prediction = torch.randn(32, outputs)
    assert task.loss(prediction, target) == pytest.approx(float((prediction - target).square().mean()))
    assert set(task.metrics()(prediction, target)) == {"mse", "mae"}


def test_several_targets_of_vectors_and_images(tmp_path: Path) -> None:
    kind, speed = torch.arange(N) % 3, torch.randn(N, 2)
    for x in (torch.randn(N, 5), torch.randn(N, 1, 4, 3)):
        torch.save({"x": x, "kind": kind, "speed": speed}, tmp_path / "data.pt")
        task = CustomData(str(tmp_path / "data.pt"), targets=["kind", "speed"], target_weights=[2, 0.5])
        assert (task.spec.kind, task.spec.output_size) == ("image_to_value", 5)
        images, target = task.train_data(0)
        check_batch(task.spec, images, target)
        prediction = torch.randn(32, 5, requires_grad=True)
        loss = task.loss(prediction, target)
        expected = 2 * functional.cross_entropy(prediction[:, :3], target[:, 0].long()) + 0.5 * functional.mse_loss(
            prediction[:, 3:], target[:, 1:]
        )
        torch.testing.assert_close(loss, expected)
        metrics = task.metrics()
        metrics.update(prediction, target)
        assert set(metrics.compute()) == {"kind_accuracy", "speed_mse", "speed_mae"}
        rows = {tuple(row.flatten().tolist()): n for n, row in enumerate(x)}
        for image, row in zip(images, target, strict=True):
            n = rows[tuple(image.flatten().tolist())]
            assert torch.equal(row, torch.cat([kind[n : n + 1].float(), speed[n]]))


def test_targets_that_do_not_go_with_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not go together"):
        CustomData(write(tmp_path / "data.pt", torch.randn(N, 5), torch.randn(N, 2, 2)))
    with pytest.raises(ValueError, match="a folder of images has one target"):
        CustomData(make_images(tmp_path / "images"), targets=["a", "b"])


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["0.5", "", "1.5"], "line 3, column y is empty"),
        (["0.5", "n/k", "1.5"], "line 3, column y: 'n/k' is not a number"),
        (["0", "1", "NA"], "line 4, column y: 'NA' is not a number"),
        (["0", "NaN", "1"], "line 3, column y: 'NaN' is not a number"),
        (["0.5", "1", "inf"], "line 4, column y: 'inf' is not a number"),
        (["0", "1", "#N/A"], "line 4, column y: '#N/A' is not a number"),
        (["1", "<NA>", "0"], "line 3, column y: '<NA>' is not a number"),
    ],
)
def test_missing_targets_are_refused(targets: list[str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("a,y\n" + "".join(f"{n},{target}\n" for n, target in enumerate(targets * 10)))
    with pytest.raises(ValueError, match=message):
        CustomData(str(file))


@pytest.mark.parametrize(
    ("names", "classes"),
    [(["7", "B ", "B"], ("7", "B")), (["Nan", "Ann", "Bob"], ("Ann", "Bob", "Nan"))],
)
def test_classes_of_a_csv_may_be_words_and_integers(names: list[str], classes: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("a,y\n" + "".join(f"{n},{name}\n" for n, name in enumerate(names * 10)))
    task = CustomData(str(file))
    assert task.classes == classes
    columns = task.prediction_columns(torch.eye(len(classes)), torch.zeros(len(classes), dtype=torch.int64))
    assert columns["prediction"] == list(classes) and set(columns["target"]) == {classes[0]}
    assert task.confusion_matrices()["confusion_matrix"].class_names == classes


@pytest.mark.parametrize("value", [0.1, 1000.1, 0.0])
@pytest.mark.parametrize("shape", [(400, 2), (400, 20, 2), (400, 2, 4, 4)])
def test_a_constant_feature_is_standardised_to_0_and_a_small_one_to_deviation_1(
    shape: tuple[int, ...], value: float, tmp_path: Path
) -> None:
    x = 1e-12 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    features = x.movedim(2 if len(shape) == 3 else 1, 0)
    features[1] = value
    task = CustomData(write(tmp_path / "data.pt", x, torch.arange(400) % 2), standardise=True)
    got, _ = task.train_data(0)
    small, constant = got.flatten(1).T if len(shape) == 2 else got.movedim(2 if len(shape) == 3 else 1, 0)
    assert not constant.any()
    assert float(small.std()) == pytest.approx(1, abs=1e-3)


def test_a_feature_that_is_constant_in_training_keeps_its_differences_elsewhere(tmp_path: Path) -> None:
    x, y = torch.full((N, 2), 5.0), torch.arange(N) % 2
    x[CustomData(write(tmp_path / "data.pt", x, y)).test_samples("test")] = 7.0
    task = CustomData(write(tmp_path / "data.pt", x, y), standardise=True)
    assert not task.train_data(0)[0].any() and bool((task.test_data("test")[0] == 2.0).all())


def test_shares_of_samples_are_rounded(tmp_path: Path) -> None:
    x, y = sequences()
    task = CustomData(write(tmp_path / "data.pt", x[:18], y[:18]))
    assert (task.train_size, task.val_size, task.test_size) == (14, 2, 2)  # a tenth is 1.8


def test_each_feature_of_vectors_is_standardised_separately(tmp_path: Path) -> None:
    x = torch.randn(N, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 100.0, 1e4])
    task = CustomData(write(tmp_path / "data.pt", x, torch.arange(N) % 2), standardise=True)
    got = task.train_data(0)[0].flatten(1)
    torch.testing.assert_close(got.std(0), torch.ones(3))
    torch.testing.assert_close(got.mean(0), torch.zeros(3), atol=1e-5, rtol=0)


class Times(Pairs):
    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        return torch.tensor([1.7e9 + number, 1.0], dtype=torch.float64), number % 2


def test_features_are_standardised_before_they_are_rounded(tmp_path: Path) -> None:
    """The numbers of float32 near 1.7e9 are 128 apart."""
    times = [1.7e9 + n for n in range(20)]
    csv_path = write_csv(tmp_path / "data.csv", ["a", "b", "y"], [[time, 1, n % 2] for n, time in enumerate(times)])
    x = np.stack([times, np.ones(20)], 1)
    for name, array in (("floats", x), ("integers", x.astype(np.int64))):
        np.savez(tmp_path / f"{name}.npz", x=array, y=np.arange(20) % 2)
    expected = None
    for path in (csv_path, tmp_path / "floats.npz", tmp_path / "integers.npz", f"{__name__}.Times"):
        task = CustomData(str(path), standardise=True)
        got, _ = task.train_data(0)
        assert got.dtype == torch.float32 and not got[..., 1].any()
        rows = task._parts["train"].double()
        torch.testing.assert_close(got[:, 0, 0, 0], ((rows - rows.mean()) / rows.std()).float())
        expected = got if expected is None else expected
        assert torch.equal(got, expected)
    assert CustomData(csv_path).train_data(0)[0].dtype == torch.float32


def test_hidden_and_empty_folders_are_not_classes(tmp_path: Path) -> None:
    for name in (".ipynb_checkpoints", "b", "a", "B", "empty"):
        (tmp_path / name).mkdir()
        for number in range(0 if name == "empty" else 10):
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / name / f"{number}.png")
    task = CustomData(str(tmp_path))
    assert task.classes == ("B", "a", "b") and task.spec.output_size == 3 and len(task._x) == 30


@pytest.mark.parametrize(("depth", "highest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_pixels_of_any_depth_lie_between_0_and_1(depth: type, highest: int, tmp_path: Path) -> None:
    pixels = (np.arange(16).reshape(4, 4) * (highest // 15)).astype(depth)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(10):
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    expected = torch.from_numpy(pixels.astype(np.float32) / highest)
    torch.testing.assert_close(CustomData(str(tmp_path))._x[0, 0], expected)
    Image.fromarray(pixels.astype(np.float32)).save(tmp_path / "a" / "more.tif")
    with pytest.raises(ValueError, match="32 bits"):
        CustomData(str(tmp_path))


def test_classes_of_other_data_have_the_numbers_of_training(tmp_path: Path) -> None:
    words = ("ant", "bee", "cat")

    def read(name: str, labels: Sequence[object], class_names: Any = None) -> CustomData:
        path = write_csv(tmp_path / f"{name}.csv", ["a", "y"], [[n, labels[n % len(labels)]] for n in range(30)])
        return CustomData(path, class_names=class_names)

    known = read("training", words).classes_by_target
    assert known == {"y": words}
    for labels in (["cat", "bee"], ["cat"], ["bee", "ant", "cat"]):
        task = read("other", labels, known)
        assert task.spec.output_size == 3 and task.classes == words
        x, y = task._x.flatten().long(), task._y
        assert [words[each] for each in y] == [labels[n % len(labels)] for n in x]
    path = write_csv(tmp_path / "renamed.csv", ["a", "kind"], [[n, "cat"] for n in range(30)])
    assert CustomData(path, targets="kind", class_names=known)._y.eq(2).all()
    with pytest.raises(ValueError, match="has the class dog, which training did not know: ant, bee, cat"):
        read("other", ["cat", "dog"], known)
    with pytest.raises(ValueError, match="has the class 0, which training did not know"):
        read("other", [0, 1], known)
    with pytest.raises(ValueError, match="has numbers as targets, but those of training are classes"):
        read("other", [0.5, 1], known)

    whole = read("training", [0, 1, 2]).classes_by_target
    assert whole == {"y": 3}
    task = read("other", [1, 0], whole)
    assert task.spec.output_size == 3 and task._y.unique().tolist() == [0, 1]
    with pytest.raises(ValueError, match="has the class 3, which training did not know: 0 to 2"):
        read("other", [3, 0], whole)

    numbers = read("training", [0.5, 1.5]).classes_by_target
    assert numbers == {"y": 0}
    assert read("other", [1, 2], numbers).spec.kind == "image_to_value"  # whole by chance
    with pytest.raises(ValueError, match="has the classes a, b, but the targets of training are numbers"):
        read("other", ["a", "b"], numbers)


@pytest.mark.parametrize("shape", [(30,), (30, 1), (30, 2), (30, 4), (30, 4, 2)])
@pytest.mark.parametrize("several", [False, True])
def test_numeric_targets_are_read_for_a_trained_network_as_in_training(
    tmp_path: Path, shape: tuple[int, ...], several: bool
) -> None:
    path, targets = str(tmp_path / "data.npz"), np.random.default_rng(0).normal(size=shape)
    np.savez(path, x=np.zeros((30, 4, 3)), y=targets, z=targets + 1)
    keys: dict[str, Any] = {"targets": ["y", "z"]} if several else {}
    task = CustomData(path, **keys)
    again = CustomData(path, class_names=task.classes_by_target, **keys)
    assert again.spec == task.spec
    for split in ("train", "val", "test"):
        for one, other in zip(task.part(split), again.part(split), strict=True):
            torch.testing.assert_close(other, one, rtol=0, atol=0)


def test_classes_of_several_targets_have_the_numbers_of_training(tmp_path: Path) -> None:
    def read(rows: list[list[object]], **options: Any) -> CustomData:
        path = write_csv(tmp_path / "data.csv", ["a", "animal", "size"], [[n, *rows[n % len(rows)]] for n in range(30)])
        return CustomData(path, **{"targets": ["animal", "size"], **options})

    known = read([["cat", 0.5], ["ant", 2]]).classes_by_target
    assert known == {"animal": ("ant", "cat"), "size": 0}
    task = read([["cat", 1], ["cat", 2]], class_names=known)
    assert task.spec.output_size == 3 and task._y[:, 0].unique().tolist() == [1.0]
    with pytest.raises(ValueError, match="are not those of training"):
        read([["cat", 1]], class_names=known, targets=["size", "animal"])


class Named(Dataset):  # type: ignore[type-arg]
    """Names its classes as the data sets of torchvision do."""

    def __init__(self, classes: Sequence[str], shown: int | None = None) -> None:
        self.classes = list(classes)
        self.shown = shown or len(self.classes)

    def __len__(self) -> int:
        return 30

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        return torch.zeros(2), number % self.shown


def test_a_data_set_may_name_its_classes() -> None:
    path = f"{__name__}.Named"
    known = CustomData(path, arguments={"classes": ["ant", "bee", "cat"]}).classes_by_target
    assert known == {"y": ("ant", "bee", "cat")}
    other = CustomData(path, arguments={"classes": ["cat", "bee"]}, class_names=known)
    assert other._y[:2].tolist() == [2, 1] and other.spec.output_size == 3


def test_class_names_without_samples_do_not_add_outputs() -> None:
    """The highest target determines the number of outputs."""
    path, words = f"{__name__}.Named", ["ant", "bee", "cat"]
    trained = CustomData(path, arguments={"classes": words, "shown": 2})
    assert trained.classes_by_target == {"y": 2} and trained.spec.output_size == 2
    again = CustomData(path, arguments={"classes": words, "shown": 2}, class_names=trained.classes_by_target)
    assert again.spec == trained.spec and torch.equal(again._y, trained._y)
    named = CustomData(path, arguments={"classes": ["dog", *words], "shown": 4}).classes_by_target
    fewer = CustomData(path, arguments={"classes": words, "shown": 2}, class_names=named)
    assert fewer._y[:2].tolist() == [1, 2] and fewer.spec.output_size == 4


class WordsAsTargets(torch.utils.data.Dataset[tuple[torch.Tensor, object]]):
    def __len__(self) -> int:
        return 30

    def __getitem__(self, number: int) -> tuple[torch.Tensor, object]:
        return torch.zeros(4, 2), "yes" if number == 3 else 1


def test_a_target_that_is_not_a_number_is_refused_with_its_sample() -> None:
    with pytest.raises(ValueError, match="the target of sample 3 is a str, not numbers"):
        CustomData(f"{__name__}.WordsAsTargets")


def test_a_csv_with_two_columns_of_the_same_name_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", ["a", "a", "y"], [[n, n, n % 2] for n in range(30)])
    with pytest.raises(ValueError, match="has several columns 'a'"):
        CustomData(path, targets="y")


def test_columns_that_are_not_read_may_have_the_same_name(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", ["a", "y", "", ""], [[n, n % 2, "", ""] for n in range(30)])
    assert CustomData(path, inputs=["a"], targets="y").spec.input_size == 1


def test_a_csv_whose_fields_are_too_long_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", ["a", "y"], [["1" * 200_000, 0]])
    with pytest.raises(ValueError, match=r"cannot be read as a CSV \(field larger than field limit"):
        CustomData(path, targets="y")


def test_a_csv_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,y\n1,caf\u00e9\n2,th\u00e9\n", encoding="latin-1")
    with pytest.raises(ValueError, match=r"data.csv is not written in UTF-8"):
        CustomData(str(tmp_path / "data.csv"), targets="y")


AS_NUMBERS = "which are predicted as numbers; if they are classes, "


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (torch.arange(20) % 3, None),
        (torch.rand(20, 1), None),
        (torch.arange(20) % 3 * 2 + 1, "has the classes 0 to 5, but no sample of 0, 2, 4"),
        ((torch.arange(20) % 3)[:, None], f"holds whole numbers [20, 1], {AS_NUMBERS}choose task.target_kind=class"),
        (torch.eye(4).long().repeat(5, 1), f"holds whole numbers [20, 4], {AS_NUMBERS}give one number for each sample"),
        (
            torch.ones(20, 6).long(),
            f"holds whole numbers [20, 6], {AS_NUMBERS}choose task.target_kind=class_every_step",
        ),
    ],
)
def test_a_note_names_whole_numbers_that_may_be_classes_and_empty_classes(
    tmp_path: Path, y: Tensor, words: str | None
) -> None:
    torch.save({"x": torch.randn(20, 6, 2), "y": y}, tmp_path / "data.pt")
    notes = CustomData(str(tmp_path / "data.pt")).notes
    assert notes == ([] if words is None else [f"y {words}"])


def test_targets_of_a_chosen_kind_have_no_note(tmp_path: Path) -> None:
    torch.save({"x": torch.randn(20, 6, 2), "y": (torch.arange(20) % 3)[:, None]}, tmp_path / "data.pt")
    assert CustomData(str(tmp_path / "data.pt"), target_kind="class").notes == []


@pytest.mark.parametrize("words", [False, True])
def test_a_class_without_a_training_sample_is_noted(words: bool, tmp_path: Path) -> None:
    x, y = sequences()
    y = y % 2
    y[CustomData(write(tmp_path / "data.npz", x, y))._parts["test"][0]] = 2
    labels = np.array(["ant", "bee", "cat"])[y] if words else y.numpy()
    np.savez(tmp_path / "data.npz", x=x.numpy(), y=labels)
    notes = CustomData(str(tmp_path / "data.npz")).notes
    assert notes == [f"y: the training set has no sample of {'cat' if words else 2}: try another task.split_seed"]


def test_inputs_whose_differences_float32_rounds_are_noted(tmp_path: Path) -> None:
    rows = [[n / 10, 1_700_000_000_000 + n, 0.1, n % 2] for n in range(30)]
    path = write_csv(tmp_path / "data.csv", ["a", "time", "constant", "y"], rows)
    (note,) = CustomData(path).notes
    assert note == "float32 rounds the differences within the inputs 1 (from 0): choose task.standardise=true"
    assert CustomData(path, standardise=True).notes == []


def test_images_with_channels_last_give_a_note(tmp_path: Path) -> None:
    y = torch.arange(N) % 2
    task = CustomData(write(tmp_path / "last.npz", torch.rand(N, 8, 6, 3), y))
    assert any("8 channels and 6 × 3 pixels; if the channels are last" in note for note in task.notes)
    task = CustomData(write(tmp_path / "first.npz", torch.rand(N, 3, 8, 6), y))
    assert not any("channels" in note for note in task.notes)


def test_targets_with_decimal_commas_are_classes_only_if_asked_for(tmp_path: Path) -> None:
    rows = [[number / 10, f"{number % 5},5"] for number in range(N)]
    path = write_csv(tmp_path / "commas.csv", ["a", "y"], rows)
    with pytest.raises(ValueError, match=r"the targets have decimal commas \(0,5\): write decimal points, or choose"):
        CustomData(path)
    assert CustomData(path, target_kind="class").spec.output_size == 5

"""What is read from a user's own files, and mistakes in them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from bionets.tasks import CustomData
from tests.tasks.test_custom import I, N, T, sequences, write


def test_classes_in_arrays_may_be_words_and_other_keys_are_not_read(tmp_path: Path) -> None:
    x, y = sequences()
    words = np.array(["ant", "bee", "cat", "dog"])
    sensors = np.array(["left", None], dtype=object)  # cannot be loaded without pickle
    np.savez(tmp_path / "data.npz", x=x.numpy(), y=words[y], sensors=sensors)
    task, numbers = CustomData(str(tmp_path / "data.npz")), CustomData(write(tmp_path / "numbers.npz", x, y))
    assert task.classes_by_target == {"y": tuple(words)} and task.spec == numbers.spec
    assert torch.equal(task._y, numbers._y)
    torch.save({"x": x, "y": y, "note": "from the left sensor"}, tmp_path / "data.pt")
    assert torch.equal(CustomData(str(tmp_path / "data.pt"))._y, numbers._y)


def test_arrays_may_have_either_byte_order(tmp_path: Path) -> None:
    x, y = sequences()
    native = CustomData(write(tmp_path / "data.npz", x, y))
    for order in "<>":
        np.savez(tmp_path / "data.npz", x=x.numpy().astype(f"{order}f4"), y=y.numpy().astype(f"{order}i4"))
        task = CustomData(str(tmp_path / "data.npz"))
        assert torch.equal(task._x, native._x) and torch.equal(task._y, native._y)


@pytest.mark.parametrize(
    "content", [{"x": np.ones((N, 3)), "y": np.ones(N)}, TensorDataset(torch.ones(N, 3), torch.ones(N))]
)
def test_torch_files_of_other_objects_than_tensors_are_refused_with_the_remedy(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "data.pt")
    with pytest.raises(ValueError, match=r"holds other objects than tensors: save a dict of tensors\)$"):
        CustomData(str(tmp_path / "data.pt"))


def test_sparse_tensors_are_refused(tmp_path: Path) -> None:
    torch.save({"x": torch.eye(N).to_sparse(), "y": torch.arange(N) % 2}, tmp_path / "data.pt")
    with pytest.raises(ValueError, match="x is sparse: save it as a dense array"):
        CustomData(str(tmp_path / "data.pt"))


def test_lengths_may_be_integers_of_any_type(tmp_path: Path) -> None:
    x, y = sequences()
    for kind in (np.uint8, np.uint16, np.uint64, np.int32):
        lengths = (np.arange(N) % T + 1).astype(kind)
        np.savez(tmp_path / "data.npz", x=x.numpy(), y=y.numpy().astype(kind), lengths=lengths)
        task = CustomData(str(tmp_path / "data.npz"), lengths="lengths")
        assert sorted(int(each) for part in ("train", "val", "test") for each in task.part(part)[2]) == sorted(lengths)


@pytest.mark.parametrize(
    ("arrays", "keys", "message"),
    [
        ({"y": np.array(3)}, {}, r"y must be a non-empty array of real numbers, got torch.int64 \[\]"),
        ({"x": np.zeros((0, T, I)), "y": np.zeros(0, int)}, {}, "x must be a non-empty array"),
        ({"x": np.zeros((N, 0, I))}, {}, "x must be a non-empty array"),
        ({"x": np.zeros((N, T, I), complex)}, {}, "x must be a non-empty array of real numbers, got torch.complex128"),
        ({"x": np.full((N, T, I), "a")}, {}, "x must be an array of numbers, got <U1"),
        ({"x": np.full((N, T, I), 2**63, np.uint64)}, {}, r"x holds whole numbers of 2\^63 or more"),
        ({"x": np.zeros((T, N, I))}, {}, "6 inputs but 40 targets: the first dimension counts samples"),
        (
            {"y": np.arange(N) % 3, "x.y": np.full(N, 0.5)},
            {"targets": ["y", "x.y"]},
            "rename x.y: PyTorch",
        ),
        (
            {"z": np.full(N, 0.5)},
            {"targets": ["y", "z"], "target_weights": [1, np.nan]},
            "must be 2 numbers of",
        ),
        ({}, {"inputs": ["x", "z"]}, "several task.inputs are for a CSV"),
        ({}, {"sequences": "id"}, "task.sequences and .* are for a CSV"),
    ],
)
def test_invalid_arrays_give_a_one_line_error(
    arrays: dict[str, Any], keys: dict[str, Any], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "data.npz", **{"x": np.zeros((N, T, I)), "y": np.arange(N) % 3, **arrays})
    with pytest.raises(ValueError, match=message) as error:
        CustomData(str(tmp_path / "data.npz"), **keys)
    assert "\n" not in str(error.value)


def test_a_missing_number_is_refused_with_its_sample(tmp_path: Path) -> None:
    x, y = sequences()
    x[7, 3, 1] = torch.nan
    with pytest.raises(ValueError, match=r"NaN or infinity in sample 7: .*task.lengths"):
        CustomData(write(tmp_path / "data.npz", x, y))


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        ("a;b;y\n1;2;0\n", {}, "has no column 'y': it has a;b;y; columns are separated by commas"),
        ("a,y\n1,0\n1,1,5\n", {}, "line 3 has more entries than the header"),
        ("a,y\n1,0\nnan,1\n", {}, "line 3, column a: 'nan' is not a number"),
        ("a,y\n\n1,0\n\nx,1\n", {}, "line 5, column a: 'x' is not a number"),
        ("a,y\n\n1,0\n2,\n", {}, "line 4, column y is empty"),
        ("a,y\n\n1,0.5\n2,x\n", {}, "line 4, column y: 'x' is not a number"),
        ("a,y\n1,0\ninf,1\n", {}, "line 3, column a: 'inf' is not a number"),
        ("a,y\n1,0.5\n2,1.5\n", {"inputs": ["a", "y"]}, "column y is in task.inputs and in task.targets"),
        ("a,y\n1,0\n2,1\n", {"lengths": "a"}, "task.lengths is for files of arrays"),
    ],
)
def test_invalid_csv_files_are_refused(text: str, keys: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        CustomData(str(tmp_path / "data.csv"), **keys)


@pytest.mark.parametrize("kind", [None, "number"])
def test_whole_numbers_of_2_to_the_63_or_more_are_numbers(kind: Any, tmp_path: Path) -> None:
    y = [1e25 * (row + 1) for row in range(20)]
    (tmp_path / "data.csv").write_text("a,y\n" + "".join(f"{row},{each:.0f}\n" for row, each in enumerate(y)))
    task = CustomData(str(tmp_path / "data.csv"), target_kind=kind)
    assert task.spec.kind == "image_to_value"
    assert sorted(task._y.flatten().tolist()) == pytest.approx(y)


def test_spaces_around_the_names_of_columns_and_sequences_are_ignored(tmp_path: Path) -> None:
    rows = "".join(f"s{n}{' ' * (t % 2)}, {n + t}, {n % 2}\n" for n in range(20) for t in range(4))
    (tmp_path / "data.csv").write_text("id, a, y\n" + rows)
    task = CustomData(str(tmp_path / "data.csv"), sequences="id")
    x, y = task.train_data(0)
    assert x.shape == (4, 16, 1) and not task.spec.lengths
    assert torch.equal(x[0, :, 0].long() % 2, y)


def timed(path: Path, times: dict[str, list[float]]) -> str:
    """Rows of each sequence with these times, in this order; a is the place of the row in its sequence by time."""
    rows = []
    for name, each in times.items():
        by_time = sorted(each)
        rows += [f"{name},{time},{by_time.index(time)},{int(name[1:]) % 2}" for time in each]
    path.write_text("\n".join(["id,t,a,y", *rows]))
    return str(path)


def test_the_rows_of_a_sequence_may_be_sorted_by_a_column(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    nanoseconds = 1_700_000_000_000_000_000  # floats would be equal
    times: dict[str, list[float]] = {
        f"s{n}": [*(nanoseconds + random.permutation(3 + n % 3))] if n % 2 else [*random.permutation(4) - 1.5, 1e3]
        for n in range(20)
    }
    path = timed(tmp_path / "data.csv", times)
    task = CustomData(path, sequences="id", sort_by="t")
    x, _, lengths = task.train_data(0)
    assert x.shape[2] == 1  # the column is no input
    for sample, steps in zip(x.unbind(1), lengths.tolist(), strict=True):
        assert sample[:steps, 0].tolist() == list(range(steps))
    assert CustomData(path, sequences="id", sort_by="t", inputs=["a", "t"]).spec.input_size == 2
    as_written = CustomData(path, sequences="id", inputs=["a"]).train_data(0)[0]
    assert any(sample[:3, 0].tolist() != [0, 1, 2] for sample in as_written.unbind(1))


def test_labels_of_steps_are_sorted_with_their_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [f"s{n},{t},{t},{(n + t) % 2 if t else ''}" for n in range(20) for t in random.permutation(4)]
    (tmp_path / "data.csv").write_text("\n".join(["id,t,a,y", *rows]))
    task = CustomData(str(tmp_path / "data.csv"), sequences="id", sort_by="t", target_kind="class_every_step")
    x, y = task.train_data(0)
    assert (x[..., 0] == torch.arange(4.0).unsqueeze(1)).all() and (y[0] == -100).all()
    assert (y[1:3].sum(0) == 1).all() and torch.equal(y[1], y[3])


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, 2, 1, 2], "lines 4 and 6, column t is 2 in two rows of the sequence s1, which task.sort_by cannot sort"),
        ([0, "", 1, 2], "line 4, column t is empty"),
        ([0, "nan", 1, 2], "line 4, column t: 'nan' is not a number, as task.sort_by needs"),
        ([0, "--1", 1, 2], "line 4, column t: '--1' is not a number, as task.sort_by needs"),
        ([0, "2024-01-01", 1, 2], "line 4, column t: '2024-01-01' is not a number, as task.sort_by needs"),
    ],
)
def test_rows_that_cannot_be_sorted_are_refused(times: list[object], message: str, tmp_path: Path) -> None:
    rows = [f"s{n},{t},{n},{n % 2}" for n in range(1, 21) for t in (times if n == 1 else range(4))]
    (tmp_path / "data.csv").write_text("\n".join(["id,t,a,y", "s0,2,0,0", *rows]))
    with pytest.raises(ValueError, match=message) as error:
        CustomData(str(tmp_path / "data.csv"), sequences="id", sort_by="t")
    assert "\n" not in str(error.value)


def test_sort_by_is_refused_without_the_sequences_of_a_csv(tmp_path: Path) -> None:
    path = timed(tmp_path / "data.csv", {f"s{n}": [0, 1] for n in range(20)})
    with pytest.raises(ValueError, match="has no column 'time': it has id, t, a, y"):
        CustomData(path, sequences="id", sort_by="time")
    for data, keys in ((path, {}), (write(tmp_path / "data.npz", *sequences()), {"sequences": "id"})):
        with pytest.raises(ValueError, match=r"task.sort_by is for the sequences of a CSV \(task.sequences\)"):
            CustomData(data, sort_by="t", **keys)

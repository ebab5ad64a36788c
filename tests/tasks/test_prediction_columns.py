"""The columns of a table of predictions, against the tensors."""

import pytest
import torch

from bionets.tasks import MultiImage, Task, TaskSpec
from bionets.tasks.multi_image import NOT_SHOWN
from bionets.tasks.prediction_columns import bit_columns, number_columns


def test_numbers_have_a_column_for_each_output() -> None:
    target, prediction = torch.randn(5, 2), torch.randn(5, 2)
    columns = number_columns(prediction, target)
    assert list(columns) == ["target_1", "prediction_1", "target_2", "prediction_2"]
    assert torch.equal(torch.tensor(columns["prediction_2"]), prediction[:, 1])
    for shape in ((5,), (5, 1)):
        one = number_columns(prediction[:, 0].reshape(shape), target[:, 0].reshape(shape))
        assert torch.equal(torch.tensor(one["target"]), target[:, 0]) and list(one) == ["target", "prediction"]


def test_each_data_set_has_columns_that_are_empty_where_it_is_not_shown() -> None:
    task = MultiImage(datasets=("mnist", "fashion_mnist"), labels=3)
    target = torch.tensor([[2, NOT_SHOWN], [NOT_SHOWN, 1]])
    prediction = torch.randn(2, 6)
    columns = task.prediction_columns(prediction, target)
    assert columns["target_mnist"] == [2, None] and columns["target_fashion_mnist"] == [None, 1]
    for number, name in enumerate(task.datasets):  # unit u belongs to task u mod 2
        scores = prediction[:, number::2]
        assert columns[f"prediction_{name}"] == [str(each) for each in scores.argmax(1).tolist()]
        found = torch.tensor([columns[f"probability_{label}_{name}"] for label in range(3)]).T
        torch.testing.assert_close(found, scores.softmax(1))


def test_a_classification_task_without_the_base_class_has_class_columns() -> None:
    class Plain(Task):
        spec = TaskSpec("sequence_to_class", 1, 3, steps=4)

    columns = Plain(1, 1, 1, 1, 1).prediction_columns(torch.tensor([[0.0, 5, 1], [3, 0, 0]]), torch.tensor([1, 0]))
    assert columns["prediction"] == columns["target"] == ["1", "0"]


def test_predictions_and_targets_of_different_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="4 predictions for 2 targets"):
        number_columns(torch.randn(3, 4), torch.randn(3, 2))


def test_bits_have_the_probability_of_a_one() -> None:
    logits, target = torch.tensor([[2.0], [-1.0], [0.0]]), torch.tensor([[1.0], [1.0], [0.0]])
    columns = bit_columns(logits, target)
    assert columns["target"] == [1, 1, 0] and columns["prediction"] == [1, 0, 0]
    assert torch.equal(torch.tensor(columns["probability"]), logits[:, 0].sigmoid())
    assert list(bit_columns(torch.randn(2, 2), torch.ones(2, 2)))[-2:] == ["probability_1", "probability_2"]

"""The columns of a table of predictions, against the tensors."""

import torch

from bionets.tasks import MultiImage
from bionets.tasks.prediction_columns import number_columns
from bionets.tasks.task_labels import NOT_SHOWN


def test_numbers_have_a_column_for_each_output() -> None:
    target, prediction = torch.randn(5, 2), torch.randn(5, 2)
    columns = number_columns(prediction, target)
    assert list(columns) == ["target_1", "prediction_1", "target_2", "prediction_2"]
    assert torch.equal(torch.tensor(columns["prediction_2"]), prediction[:, 1])
    for shape in ((5,), (5, 1)):
        one = number_columns(prediction[:, 0].reshape(shape), target[:, 0].reshape(shape))
        assert torch.equal(torch.tensor(one["target"]), target[:, 0]) and list(one) == ["target", "prediction"]


def test_each_data_set_has_its_columns_empty_if_it_is_not_shown() -> None:
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

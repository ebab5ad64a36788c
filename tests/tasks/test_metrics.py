"""The weighted cross-entropy, and confusion matrices."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanSquaredError, MetricCollection

from bionets.tasks import Classification, TaskSpec
from bionets.tasks.metrics import ClassConfusion, MeanOf, confusion_matrix, cross_entropy, right_bits


def of_torch(prediction: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    return functional.cross_entropy(prediction.flatten(0, -2), target.flatten(), weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("weights", [None, [0.3, 1.0, 2.0], [0.0, 1.0, 3.0]])
def test_cross_entropy_has_the_bits_of_torch_if_a_weight_is_positive(
    weights: list[float] | None, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    for shape in ((7,), (5, 4)):
        target = torch.arange(torch.Size(shape).numel()).reshape(shape) % 3
        of_classes = None if weights is None else torch.tensor(weights, dtype=dtype)
        found = []
        for loss in (cross_entropy, of_torch):
            prediction = torch.randn(*shape, 3, dtype=dtype, generator=torch.Generator().manual_seed(1))
            prediction.requires_grad_()
            value = loss(prediction, target, of_classes)
            found.append((value, *torch.autograd.grad(value, prediction)))
        for one, two in zip(*found, strict=True):
            assert one.dtype == two.dtype and torch.equal(one, two)


def test_cross_entropy_and_its_gradient_are_0_if_all_targets_have_weight_0() -> None:
    prediction = torch.randn(4, 3, requires_grad=True)
    for weights in (torch.zeros(3), torch.tensor([0.0, 1.0, 1.0])):
        loss = cross_entropy(prediction, torch.zeros(4, dtype=torch.int64), weights)
        (gradient,) = torch.autograd.grad(loss, prediction)
        assert loss.item() == 0 and torch.equal(gradient, torch.zeros(4, 3))


def test_cross_entropy_reads_no_value_of_a_tensor() -> None:
    """On a GPU, such a read waits for all kernels. A tensor on the meta device has no values."""
    prediction, target = torch.randn(4, 3, device="meta"), torch.zeros(4, dtype=torch.int64, device="meta")
    assert cross_entropy(prediction, target, torch.ones(3, device="meta")).shape == ()


@pytest.mark.parametrize("shape", [(30,), (5, 6)])
def test_a_confusion_matrix_counts_each_pair_of_classes(shape: tuple[int, ...]) -> None:
    metric, counts = ClassConfusion(4), torch.zeros(4, 4, dtype=torch.long)
    for _ in range(3):
        prediction, target = torch.randn(*shape, 4), torch.randint(4, shape)
        metric.update(prediction, target)
        for scores, true in zip(prediction.reshape(-1, 4), target.flatten(), strict=True):
            counts[true, scores.argmax()] += 1
    assert torch.equal(metric.compute(), counts)


def test_a_confusion_matrix_of_more_than_a_hundred_classes_is_not_drawn() -> None:
    assert list(confusion_matrix(100)) == ["confusion_matrix"] and confusion_matrix(101) == {}


def test_a_mean_over_batches_is_nan_if_a_value_is() -> None:
    metric = MeanOf(lambda prediction, target: prediction - target)
    metric.update(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.0]))
    assert metric.compute() == 1.5
    metric.update(torch.tensor([torch.nan]), torch.tensor([0.0]))
    assert metric.compute().isnan()


def test_only_a_positive_logit_predicts_a_one() -> None:
    logits = torch.tensor([-1.0, 0.0, 1e-9, 3.0])
    assert right_bits(logits, torch.ones(4)).tolist() == [False, False, True, True]
    assert right_bits(logits, torch.zeros(4)).tolist() == [True, True, False, False]


def test_a_task_with_metrics_of_its_own_has_no_confusion_matrix() -> None:
    class Soft(Classification):
        spec = TaskSpec("sequence_to_class", 1, 3, steps=4)

        def metrics(self) -> MetricCollection:
            return MetricCollection({"error": MeanSquaredError()})

    assert Soft(1, 1, 1, 1, 1).confusion_matrices() == {}

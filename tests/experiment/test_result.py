"""A measured curve is read at the step where the published one was."""

from bionets.experiment.result import measured_like_published

CONFIG = {
    "model": {"name": "brc", "num_layers": 2, "hidden_size": 100},
    "task": {"name": "copy_first_input", "length": 300, "train_size": 45_000, "batch_size": 100},
    "trainer": {"max_epochs": 60},
}


def test_the_loss_is_averaged_over_the_steps_up_to_the_published_one() -> None:
    steps = list(range(6000))
    losses = [float(step) for step in steps]
    expected = sum(range(5300, 5400)) / 100
    assert measured_like_published(CONFIG, {"train/loss": (steps, losses)}) == {"train/loss_step_5400": expected}


def test_a_run_that_ended_before_has_no_such_number() -> None:
    steps = list(range(5399))
    assert measured_like_published(CONFIG, {"train/loss": (steps, [1.0] * 5399)}) == {}
    assert measured_like_published(CONFIG, {}) == {}

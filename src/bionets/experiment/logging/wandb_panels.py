"""The x axes of W&B's panels."""

STEP = "trainer/global_step"  # Lightning's name


def curve_of_tests(tests: dict[str, dict[str, float]]) -> list[dict[str, float]]:
    """A row for each test set whose name ends in a number, in the order of the tests: the number, then the metrics."""
    rows = []
    for name, metrics in tests.items():
        condition, _, number = name.rpartition("_")
        if condition and number.isdigit():
            values = {f"tests/{metric}": value for metric, value in metrics.items()}
            rows.append({f"tests/{condition}": float(number), **values})
    return rows

"""The mode of W&B, by the option, the environment and the login."""

from pathlib import Path

import pytest

from bionets.experiment.errors import UserError
from bionets.experiment.logging.wandb_login import wandb_mode


def test_the_environment_decides_the_mode_unless_the_option_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "")
    assert wandb_mode("auto") == "offline"
    for mode in ("disabled", "dryrun"):
        monkeypatch.setenv("WANDB_MODE", mode)
        assert wandb_mode("auto") == mode and wandb_mode("offline") == "offline"
    monkeypatch.setenv("WANDB_MODE", "of")
    assert wandb_mode("offline") == "offline"
    with pytest.raises(UserError, match="WANDB_MODE=of is unknown: choose online, offline, disabled"):
        wandb_mode("auto")

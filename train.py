"""Train, test and draw a model on a task: python train.py model=nbrc task=binary_addition"""

from pathlib import Path

from bionets.__main__ import run

if __name__ == "__main__":
    run("train", configs=Path(__file__).parent / "configs")

"""A table and figures of many runs: python compare.py runs=<folder or glob> by=model"""

from pathlib import Path

from bionets.experiment import command

if __name__ == "__main__":
    command("compare", configs=Path(__file__).parent / "configs")

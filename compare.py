"""A table and figures of many runs: python compare.py runs=<folder or glob> by=model"""

from pathlib import Path

from bionets.__main__ import run

if __name__ == "__main__":
    run("compare", configs=Path(__file__).parent / "configs")

"""Test a trained run again, from its folder alone: python evaluate.py run=<folder>"""

from pathlib import Path

from bionets.__main__ import run

if __name__ == "__main__":
    run("evaluate", configs=Path(__file__).parent / "configs")

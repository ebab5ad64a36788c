"""Test a trained run again, from its folder alone: python evaluate.py run=<folder>"""

from pathlib import Path

from bionets.experiment import command

if __name__ == "__main__":
    command("evaluate", configs=Path(__file__).parent / "configs")

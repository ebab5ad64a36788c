"""Analyse trained networks: python analyse.py run=<folder>"""

from pathlib import Path

from bionets.__main__ import run

if __name__ == "__main__":
    run("analyse", configs=Path(__file__).parent / "configs")

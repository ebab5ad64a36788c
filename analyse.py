"""What each neuron of a trained spatial network is for: python analyse.py run=<folder>"""

from pathlib import Path

from bionets.experiment import command

if __name__ == "__main__":
    command("analyse", configs=Path(__file__).parent / "configs")

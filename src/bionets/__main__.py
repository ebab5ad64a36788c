"""``bionets train|evaluate|compare|analyse|runs|new``: the commands, from any folder."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bionets.experiment import command
from bionets.experiment.command_line import COMMAND
from bionets.experiment.commands.new import new
from bionets.experiment.interrupts import exit_when_interrupted

COMMANDS = ("train", "evaluate", "compare", "analyse", "runs")
USAGE = """bionets: networks with biologically inspired memory

  bionets train      train a model on a task:     bionets train model=nbrc task=binary_addition
  bionets evaluate   test a trained run again:    bionets evaluate run=<folder>
  bionets compare    tables and figures of runs:  bionets compare runs=outputs by=model
  bionets analyse    analyse trained networks:    bionets analyse run=<folder>
  bionets runs       list all run folders:        bionets runs status=failed
  bionets new        write a small project:       bionets new my_project

bionets <command> --help lists its options; eval "$(bionets -sc install=bash)" completes words."""


def packaged_configs() -> Path:
    """The configs that come with bionets: in a wheel within the package, else beside ``src``."""
    package = Path(__file__).resolve().parent
    return package / "configs" if (package / "configs").is_dir() else package.parents[1] / "configs"


@exit_when_interrupted()
def run(name: str, configs: Path | None = None) -> NoReturn:
    """Run a command by its name, on the words that follow it, and exit."""
    command(name, configs or packaged_configs())


def complete(words: Sequence[str]) -> NoReturn:
    """Shell completion of ``bionets``: of its commands, and of what each takes, by Hydra. A shell puts the line that is
    being typed into COMP_LINE.
    """
    typed = os.environ.get("COMP_LINE", "").split(" ")
    if not any(word.startswith("query=") for word in words):
        run("train")  # install or uninstall
    if len(typed) < 3:
        print("\t".join(name for name in (*COMMANDS, "new") if name.startswith(typed[-1])))
        sys.exit(0)
    if typed[1] not in COMMANDS:
        sys.exit(0)
    os.environ["COMP_LINE"] = " ".join([typed[0], *typed[2:]])
    os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"]))
    run(typed[1])


def main() -> NoReturn:
    """The console command ``bionets``."""
    words = sys.argv[1:]
    if "LOCAL_RANK" in os.environ and COMMAND in os.environ:  # started by ddp
        run(os.environ[COMMAND])
    if words and words[0] == "new":
        sys.exit(new(words[1:]))
    if words and words[0] in ("-sc", "--shell-completion"):
        complete(words)
    if words and words[0] in COMMANDS:
        os.environ[COMMAND] = words[0]
        del sys.argv[1]
        run(words[0])
    wanted = not words or words[0] in ("-h", "--help")
    if not wanted:
        print(f"error: there is no command {words[0]}\n", file=sys.stderr)
    print(USAGE, file=sys.stdout if wanted else sys.stderr)
    sys.exit(0 if wanted else 2)


if __name__ == "__main__":
    main()

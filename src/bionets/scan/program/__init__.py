"""From the graphs of a step to its program and to the schedule of the program."""

from bionets.scan.program.program import Program, check_compiled, find_program, program_of

__all__ = ["Program", "check_compiled", "find_program", "program_of"]

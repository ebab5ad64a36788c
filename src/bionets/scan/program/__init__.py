"""The program of a step, which consists of its graphs, and the schedule of the program."""

from bionets.scan.program.program import Program, check_compiled, find_program, program_of

__all__ = ["Program", "check_compiled", "find_program", "program_of"]

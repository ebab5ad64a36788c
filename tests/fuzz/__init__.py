"""Random command lines over the real groups and keys, which must end in order: see ``python -m tests.fuzz --help``."""

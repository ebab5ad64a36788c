"""Many runs from one command: grids and searches, in one process or many."""

"""Hydra looks for plugins in this namespace alone; the sweepers themselves are in `bionets.experiment.sweep`."""

from bionets.experiment.sweep import grid, search


class GridSweeper(grid.GridSweeper):
    """``sweep=grid``: see `bionets.experiment.sweep.grid`."""


class SearchSweeper(search.SearchSweeper):
    """``sweep=random``, ``tpe`` and ``cmaes``: see `bionets.experiment.sweep.search`."""

"""Writes the page ``reference/leaky_integrators.md`` while the site is built: the docstrings are generated, so that
mkdocstrings, which reads the source, does not see them.
"""

import inspect

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from bionets.layers.spiking import KINDS, leaky_integrators

PAGE = "reference/leaky_integrators.md"
HEAD = """# Leaky integrators

The 32 layers of `bionets.layers.spiking` that derive from [`LeakyIntegrator`](spiking.md). The letters of a
name: D, separate traces for positive and negative input; S, a synaptic trace; R, a trace of the layer's own output;
LI, leaky integrator; then B, T or TS for binary, ternary or scaled ternary spikes, or EMA for an exponential moving
average.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by MkDocs."""
    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    classes = [getattr(leaky_integrators, kind.name) for kind in KINDS]
    return "\n".join([HEAD, *(f"## {each.__name__}\n\n```text\n{inspect.getdoc(each)}\n```\n" for each in classes)])

"""bionets: networks whose memory works as in living things."""

from importlib.metadata import version

__version__ = version("bionets")

"""sertool: speech emotion recognition in small composable stages."""

from sertool.core.version import VERSION as __version__

__all__ = ["__version__"]

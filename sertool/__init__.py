"""sertool: speech emotion recognition in small composable stages."""

__version__ = "0.1.0"

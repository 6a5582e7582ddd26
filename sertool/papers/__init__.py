"""Published tables next to measured ones."""

"""A page of one file, for a browser: its parts, its pictures, and its recordings."""

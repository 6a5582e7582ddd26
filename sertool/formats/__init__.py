"""The files that stages hand on: manifest, store, checkpoint, and how they are written whole."""

"""The files between stages: manifest, store, checkpoint, and how they are written atomically."""

"""A plug-in for sertool; each module adds one extension."""

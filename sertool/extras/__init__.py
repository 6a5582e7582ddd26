"""Optional tools: separating voices, explaining a prediction, a server."""

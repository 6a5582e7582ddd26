"""What the core does not need: separating voices, explaining a prediction."""

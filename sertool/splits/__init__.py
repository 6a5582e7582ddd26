"""Protocols, balanced folds, and the division of a store into training, validation and test."""

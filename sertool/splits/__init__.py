"""Protocols, balancing, and the division of a store into training, validation and test."""

"""The stages: one module a command, the library function that it calls."""

"""One module a command: its options and the function behind it."""

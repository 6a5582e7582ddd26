"""One module per command: its options and the function behind it."""

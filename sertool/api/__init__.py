"""The Python API: the stages of the command line as functions that take and return objects."""

"""The errors that sertool tells its user about, and the exit code of each."""


class SertoolError(Exception):
    """A named file or folder cannot serve; the message is one line for the user. Exit code 3."""

    exit_code = 3


class InputError(SertoolError):
    """A file or folder named by the user is missing, not ours, in the way, or not writable."""


class UsageError(SertoolError):
    """The command line itself is wrong: unknown name, bad value, contradiction. Exit code 2."""

    exit_code = 2


class ItemError(Exception):
    """One audio file or manifest line gives no item; the message is the reason."""

"""The errors that sertool explains to its user in one line, and the exit code of each."""


class SertoolError(Exception):
    """Something that the user named cannot be used; the message is one line. Exit code 3.

    >>> import sertool
    >>> try:
    ...     sertool.open_store("nowhere.h5")
    ... except sertool.SertoolError as error:
    ...     print(error)
    nowhere.h5: no such file
    """

    exit_code = 3


class InputError(SertoolError):
    """A file or folder is missing, not ours, in the way, or not writable. Exit code 3.

    >>> import sertool
    >>> sertool.load("nowhere.ckpt")
    Traceback (most recent call last):
    sertool.core.errors.InputError: nowhere.ckpt: no such file or directory
    """


class UsageError(SertoolError):
    """An option is wrong: an unknown name, a bad value, a contradiction. Exit code 2.

    >>> import sertool
    >>> sertool.prepare("corpus", split="speakers")
    Traceback (most recent call last):
    sertool.core.errors.UsageError: protocol speakers: write speakers:N...
    """

    exit_code = 2


class ItemError(Exception):
    """One recording or line of a manifest gives no item; the message is the reason.

    >>> import sertool
    >>> sertool.load("model.ckpt").predict("manifest.jsonl")
    Traceback (most recent call last):
    sertool.core.errors.ItemError: manifest.jsonl: cannot be decoded: ...
    """

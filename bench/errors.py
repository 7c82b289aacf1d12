"""The one exception that the command line turns into one line and exit code 2."""


class InputError(ValueError):
    """What the user gave can't be used; the message says what was found and what to do."""

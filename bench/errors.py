"""The exception that the command line turns into one line and exit code 2."""


class InputError(ValueError):
    """The user's input can't be used. The message says what was found and what to do."""

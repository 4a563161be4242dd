"""The one exception for everything a user can put right."""


class InputError(ValueError):
    """Bad input: says what is wrong, the value, what is accepted and what to do.

    The workflow and the command line print its message as one line, without a traceback.
    """

"""Faults of the call, not of the captures: the command line says them and exits with 2."""


class UsageFault(Exception):
    """What was asked for cannot be done; the text is a sentence for the user."""

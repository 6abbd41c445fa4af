"""Faults that are neither the captures' nor ours: the command line says them in their own words."""


class UsageFault(Exception):
    """What was asked for cannot be done; the text is a sentence for the user."""


class WorkerEnded(Exception):
    """A process that worked for this one is gone; the text is a sentence for the user."""

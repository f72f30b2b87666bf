"""The one way a measurement ends early."""


class BenchError(Exception):
    """A measured call gave the wrong answer, or a process under measurement died. Nothing is published."""

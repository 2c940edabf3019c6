"""The errors a user can cause. Each message is one sentence: the bad value, what is allowed, and the remedy."""

import reprlib

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8


def shown(value: object) -> str:
    """repr(value), cut where it is long or deep: the value may come from a stranger's file."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python prints no whole number of more than 4,300 digits
        return "a number of thousands of digits"


class CfcoreError(Exception):
    """Base of every error that a user's input can cause; its text is fit to be shown as it is."""


class ConfigError(CfcoreError, ValueError):
    """A setting outside what is allowed."""


class CheckpointError(CfcoreError):
    """A file that is missing, damaged, or not one of ours."""


class NotShippedError(CheckpointError):
    """A network that was not trained for the project: there is nothing to load."""


class DataError(CfcoreError):
    """Images or labels that are missing or of the wrong shape."""


class Cancelled(CfcoreError):
    """Raised by whoever is told how far a long operation is, to stop it."""


def bad_value(name: str, value: object, allowed: str, remedy: str) -> ConfigError:
    """The one wording of a refused setting.

    >>> str(bad_value("weight_bits", 9, "1 to 8, or 32 for float", "Choose --weight-bits 1."))
    'weight_bits = 9 is not allowed: use 1 to 8, or 32 for float. Choose --weight-bits 1.'
    """
    return ConfigError(f"{name} = {shown(value)} is not allowed: use {allowed}. {remedy}")

"""curio 1.6, its last release, on the Pythons that came after it.

Theory of operation: curio's import reads three private names of
``multiprocessing.connection`` that Python 3.12 renamed, and ``ssl.wrap_socket``,
which 3.12 removed. They are set before curio is imported for the first time:
the three to what they are called now, the last to a function that says that it
is gone. This adapter uses none of them.
"""

from __future__ import annotations

import importlib
import multiprocessing.connection
import ssl
from typing import Any, NoReturn

__all__ = ["import_curio"]


def import_curio() -> None:
    """Make ``import curio`` work from here on. Raises ``ModuleNotFoundError`` with the pip command."""
    _lend(multiprocessing.connection, "CHALLENGE", b"#CHALLENGE#")
    _lend(multiprocessing.connection, "WELCOME", b"#WELCOME#")
    _lend(multiprocessing.connection, "FAILURE", b"#FAILURE#")
    if not hasattr(ssl, "wrap_socket"):
        ssl.wrap_socket = _wrap_socket
    try:
        importlib.import_module("curio")
    except ModuleNotFoundError as error:
        if error.name != "curio":
            raise
        raise ModuleNotFoundError(
            "curio is not installed; pip install 'sansip[curio]'", name=error.name
        ) from None


def _lend(module: Any, name: str, default: bytes) -> None:
    """Give ``module`` back a constant that has a leading underscore now."""
    if not hasattr(module, name):
        setattr(module, name, getattr(module, f"_{name}", default))


def _wrap_socket(*args: object, **kwargs: object) -> NoReturn:
    raise AttributeError("ssl.wrap_socket was removed from Python 3.12; use ssl.SSLContext.wrap_socket")

"""Load a routing script: a Python file that defines ``route(request)``.

Theory of operation: the script is the operator's own code and runs with the server's rights, so its faults
are a programmer's mistakes; each is reported as one line with file and line number. The file is run once, as
a module of its own name, with its folder on ``sys.path`` so that it can import its neighbours.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sansip.module import ModuleFault
from sansip.module.binding import wanted
from sansip_server.faults import OperatorError, os_reason, suggestion

__all__ = ["DEFAULT_ROUTE", "default_route", "fingerprint", "load_again", "load_route"]

# The journal's name of the route that is used when no script is given.
DEFAULT_ROUTE = "the default route"
EXAMPLE = "a routing script defines `def route(request): ...`, see docs/routing.md"


def default_route() -> Callable[..., Any]:
    """Return the route that is used when no script is given."""
    from sansip.routing.default import route

    return route


def fingerprint(path: str | Path) -> str:
    """Return the journal's name of the script at ``path``: its name, and a hash of its text."""
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return f"{Path(path).name} {digest[:16]}"


def load_again(path: str | Path, generation: int) -> Callable[..., Any]:
    """Run the script anew, with the files beside it, under a name of its ``generation``.

    Requests that run by the former script go on with it. Raises OperatorError with the reason, and
    leaves all as it was.
    """
    folder = Path(path).absolute().parent
    beside = {
        name: module
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) is not None and Path(file).parent == folder
    }
    for name in beside:
        del sys.modules[name]
    try:
        return load_route(path, generation)
    except BaseException:
        sys.modules.update(beside)
        raise


def load_route(path: str | Path, generation: int = 0) -> Callable[..., Any]:
    """Run the script at ``path`` and return its ``route``; raise OperatorError with the reason."""
    file = Path(path).absolute()
    name = f"sansip_route_{file.stem}" + (f"_{generation}" if generation else "")
    try:
        source = file.read_bytes()
    except OSError as error:
        raise OperatorError(f"cannot read the routing script {path}: {os_reason(error)}") from None
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise OperatorError(f"routing script {path}: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[name] = module
    # Read the source of files beside it, not the cache of compiled code. The cache identifies a file by its
    # size and the second of its last change, so a file that was edited within that second would run in its
    # old form.
    importlib.invalidate_caches()
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        exec(compile(source, str(file), "exec", dont_inherit=True), module.__dict__)
    except SyntaxError as error:
        # A syntax error may be in a module that the script imports.
        raise OperatorError(f"routing script {error.filename or path}:{error.lineno}: {error.msg}") from None
    except (Exception, SystemExit) as error:
        raise OperatorError(_failed(file, error)) from None
    finally:
        sys.dont_write_bytecode = writes
    return _checked(path, module.__dict__)


def _failed(file: Path, error: BaseException) -> str:
    """Return one line: the script's own last line of the traceback, and the error."""
    line = 0
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(file):
            line = frame.lineno or 0
    text = " ".join(str(error).split())
    # The server often has a Python of its own, and the operator installed the package for another one.
    fix = f"; install it for {sys.executable}" if isinstance(error, ModuleNotFoundError) else ""
    return f"routing script {file}:{line}: {type(error).__name__}{': ' if text else ''}{text}{fix}"


def _checked(path: str | Path, names: dict[str, Any]) -> Callable[..., Any]:
    route = names.get("route")
    if route is None:
        functions = [name for name, value in names.items() if inspect.isfunction(value)]
        meant = suggestion("route", functions)
        hint = f"; did you mean `{meant}`?" if meant else ""
        raise OperatorError(f"routing script {path}: there is no `route` in it{hint}; {EXAMPLE}")
    if not callable(route):
        raise OperatorError(
            f"routing script {path}: `route` is {type(route).__name__}, no function; {EXAMPLE}"
        )
    if inspect.isgeneratorfunction(route) or inspect.isasyncgenfunction(route):
        raise OperatorError(f"routing script {path}: `route` must not yield; use `await` in an `async def`")
    try:
        inspect.signature(route).bind(object(), **wanted(route))
    except (TypeError, NameError, ModuleFault) as error:
        raise OperatorError(
            f"routing script {path}: `route` cannot be called with a request ({error}); {EXAMPLE}"
        ) from None
    except ValueError:
        pass  # a callable without a signature is called as it is
    return route  # type: ignore[no-any-return]  # Any by design

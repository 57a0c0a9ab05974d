"""Where a fault of the configuration stands: its key, its file and its line."""

from __future__ import annotations

from sansip_server.config.lines import KeyLines
from sansip_server.config.listen import parse_listen, show_host
from sansip_server.config.load import ConfigFault
from sansip_server.config.schema import Settings

__all__ = ["listen_path", "told"]


def listen_path(settings: Settings, problem: str) -> str:
    """Return the key of the listener that ``problem`` names."""
    for index, text in enumerate(settings.listen):
        one = parse_listen(text)
        # With the colon: port 506 is not 5060.
        place = f"{show_host(one.host)}:{one.port}:"
        if any(f"{transport}:{place}" in problem for transport in one.transports):
            return f"listen[{index}]"
    for name, given in settings.modules.items():
        for index, text in enumerate(getattr(given, "listen", ())):
            if f"{text.split()[0]}:" in problem:
                return f"{name}.listen[{index}]"
    return "listen"


def told(fault: ConfigFault, settings: Settings) -> str:
    """Return ``fault`` with its file and line, if it is in a file."""
    if settings.file is None:
        return f"{fault.path}: {fault.problem}"
    try:
        fault.line = KeyLines(settings.file.read_text("utf-8", "replace")).find(fault.path)
    except OSError:
        pass  # it was there a moment ago
    return fault.text(str(settings.file))

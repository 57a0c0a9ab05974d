"""Listeners of modules for protocols of their own: the setting ``listen`` in the module's table.

Theory of operation: a module that speaks ``msrp`` has ``listen = ["msrp:0.0.0.0:2855",
"msrps:0.0.0.0:2856"]`` in its table. The listeners are numbered after those of SIP, so that a reload
opens and closes them in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sansip.config import ListenerConfig
from sansip_server.config.listen import ListenAddress, parse_listen
from sansip_server.config.schema import Settings
from sansip_server.modules import load

__all__ = ["protocol_faults", "protocol_listeners", "protocols"]


def protocols(settings: Settings) -> dict[str, bool]:
    """Return the protocols of the modules in ``settings``, and whether each runs over WebSocket."""
    kinds = [load(name) for name in settings.modules]
    return {name: link.websocket for kind in kinds for name, link in kind.protocols.items()}


def _texts(name: str, given: Any) -> tuple[list[str], list[str]]:
    """Return the protocols that a module may listen for, and the listeners in its settings."""
    kinds = [kind for one in load(name).protocols for kind in (one, f"{one}s")]
    return kinds, list(getattr(given, "listen", ())) if kinds else []


def protocol_faults(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield (path, what is wrong) of the listeners of modules."""
    for name, given in settings.modules.items():
        kinds, texts = _texts(name, given)
        for index, text in enumerate(texts):
            try:
                address = parse_listen(text, kinds)
            except ValueError as error:
                yield f"{name}.listen[{index}]", str(error)
                continue
            if address.transport not in load(name).protocols and settings.tls.certificate is None:
                yield f"{name}.listen[{index}]", f"{address} needs tls.certificate: a PEM file"


def _addresses(settings: Settings) -> Iterator[ListenAddress]:
    for name, given in settings.modules.items():
        kinds, texts = _texts(name, given)
        yield from (parse_listen(text, kinds) for text in texts)


def protocol_listeners(settings: Settings, others: Sequence[ListenerConfig]) -> list[ListenerConfig]:
    """Return ``others``, and behind them the listeners of modules, numbered on."""
    made = list(others)
    for address in _addresses(settings):
        host, port = address.advertise_host, address.advertise_port
        made.append(ListenerConfig(len(made), address.transport, address.host, address.port, host, port))
    return made

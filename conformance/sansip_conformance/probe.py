"""Checks once whether the target is there, before hundreds of traces wait for it in vain."""

from __future__ import annotations

import os
import socket

from sansip_conformance.target import Target

__all__ = ["reach"]

# Seconds for a connection, and for each of the OPTIONS over UDP.
_CONNECT = 3.0
_WAITS = (0.5, 1.0, 1.5)


def reach(target: Target, given: tuple[str, ...] = ("udp", "tcp")) -> str | None:
    """Return why the target cannot be reached by one of the transports ``given``, None when it can."""
    for transport, (host, port) in target.addresses.items():
        if transport in given:
            why = _connect(host, port) if transport == "tcp" else _ask(host, port)
            if why is not None:
                shown = f"[{host}]" if ":" in host else host
                return f"{transport}:{shown}:{port}: {why}; is the server running there?"
    return None


def _connect(host: str, port: int) -> str | None:
    try:
        with socket.create_connection((host, port), _CONNECT):
            return None
    except TimeoutError:
        return f"no connection within {_CONNECT:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()


def _ask(host: str, port: int) -> str | None:
    """RFC 3261 11: every SIP server answers an OPTIONS, whatever the answer is."""
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except OSError as error:
        return (error.strerror or str(error)).lower()
    with socket.socket(kind, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(address)
            name, own = sock.getsockname()[:2]
            here = f"[{name}]:{own}" if ":" in name else f"{name}:{own}"
            mark = os.urandom(6).hex()
            shown = f"[{host}]" if ":" in host else host
            request = (
                f"OPTIONS sip:{shown}:{port} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {here};rport;branch=z9hG4bK{mark}\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:probe@{here}>;tag={mark}\r\nTo: <sip:{shown}:{port}>\r\n"
                f"Call-ID: {mark}\r\nCSeq: 1 OPTIONS\r\nContact: <sip:probe@{here}>\r\n"
                "Content-Length: 0\r\n\r\n"
            ).encode()
            for wait in _WAITS:
                sock.send(request)
                sock.settimeout(wait)
                try:
                    sock.recv(65_535)
                except TimeoutError:
                    continue
                return None
        except OSError as error:
            # The kernel reports a port without a listener at the next call.
            return (error.strerror or str(error)).lower()
    return f"{len(_WAITS)} OPTIONS in {sum(_WAITS):g} s got no answer"

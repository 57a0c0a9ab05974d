"""How `sansip ctl` asks a server: over a control socket, or over HTTP with a token.

Theory of operation: both give the same parts, the items of a list and last the result. The control socket
takes one line of JSON and gives lines back; over HTTP the command asks for a list a page at a time
(`docs/http.md`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from sansip_server.faults import OperatorError, os_reason

__all__ = ["Server", "read_token"]

# Seconds for a reply to begin or to go on.
TIMEOUT = 15.0
# Octets of one reply over HTTP; a page of the most items that a server gives has far fewer.
_REPLY = 64 * 1024 * 1024
# Items of one page; the server may give fewer.
_PAGE = 1_000


@dataclass(slots=True)
class Server:
    """The server that is asked: at ``control``, at ``url`` with ``token``, or the one that runs here."""

    control: str | None = None
    url: str | None = None
    token: str | None = None

    def ask(self, **question: Any) -> Iterator[dict[str, Any]]:
        """Yield the items of the reply, and last the result; raise OperatorError for what fails."""
        if self.url is None:
            return self._by_socket(self.control or self._found(), question)
        return self._by_http(self.url, question)

    @staticmethod
    def _found() -> str:
        from sansip_server.control import answering

        servers, places = answering()
        if not servers:
            looked = ", ".join(str(place) for place in places)
            raise OperatorError(
                f"no server of yours answers on this machine (looked at {looked}); is it running?"
                " --control PATH or --config FILE name its control socket"
            )
        if len(servers) > 1:
            names = ", ".join(str(one) for one in servers)
            raise OperatorError(f"several servers run here; name one by --control: {names}")
        return str(servers[0])

    # --- control socket

    @staticmethod
    def _by_socket(path: str, question: dict[str, Any]) -> Iterator[dict[str, Any]]:
        import socket

        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(TIMEOUT)
                sock.connect(path)
                sock.sendall(json.dumps(question).encode() + b"\n")
                with sock.makefile("rb") as reply:
                    for line in reply:
                        part = json.loads(line)
                        if part.get("ok") is False:
                            raise OperatorError(part["error"])
                        yield part.get("item", part.get("result"))
                        if "ok" in part:
                            return
            raise OperatorError(f"{path}: the server closed the connection before its reply was whole")
        except (FileNotFoundError, ConnectionRefusedError):
            raise OperatorError(
                f"no server answers at {path}; is it running, and is this its control socket?"
                " (--control PATH, or --config FILE)"
            ) from None
        except TimeoutError:
            raise OperatorError(
                f"{path}: no reply in {TIMEOUT:g} s; the server is stopped or very busy"
            ) from None
        except OSError as error:
            # "AF_UNIX path too long" has no number.
            raise OperatorError(f"{path}: {os_reason(error)}") from None

    # --- JSON-RPC

    def _by_http(self, url: str, question: dict[str, Any]) -> Iterator[dict[str, Any]]:
        where = _checked(url, self.token)
        name = question.pop("command")
        given = question.get("arguments", question)
        params = {key: value for key, value in given.items() if value is not None}
        count = 0
        after: Any = None
        while True:
            page = {} if after is None else {"after": after}
            result = self._call(where, url, name, params | {"limit": _PAGE} | page)
            if not isinstance(result, dict) or set(result) != {"items", "next"}:
                yield result
                return
            yield from result["items"]
            count += len(result["items"])
            if result["next"] is None:
                # The same end of a list as the control socket gives.
                yield {name: count, "items": count}
                return
            if result["next"] == after:
                raise OperatorError(f"{url}: the server gives the same page of {name} again")
            after = result["next"]

    def _call(self, where: SplitResult, url: str, name: str, params: dict[str, Any]) -> Any:
        # `--help` does not import these.
        import http.client
        import ssl

        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params})
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        host, port = where.hostname or "", where.port
        line: http.client.HTTPConnection
        if where.scheme == "https":
            context = ssl.create_default_context()
            line = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context)
        else:
            line = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        try:
            line.request("POST", (where.path.rstrip("/") or "") + "/rpc", body, headers)
            answer = line.getresponse()
            reply = answer.read(_REPLY)
            if answer.status != 200:
                text = reply[:200].decode("utf-8", "replace").strip()
                hint = "; --token-file FILE, or SANSIP_TOKEN" if answer.status == 401 else ""
                raise OperatorError(f"{url}: {answer.status} {answer.reason}: {text}{hint}")
            said = json.loads(reply)
            if "error" in said:
                raise OperatorError(str(said["error"]["message"]))
            return said["result"]
        except ssl.SSLCertVerificationError as error:
            raise OperatorError(
                f"{url}: its certificate is not trusted: {error.verify_message}"
                " (SSL_CERT_FILE names another authority)"
            ) from None
        except TimeoutError:
            raise OperatorError(
                f"{url}: no reply in {TIMEOUT:g} s; the server is stopped or very busy"
            ) from None
        except OSError as error:
            raise OperatorError(f"{url}: {os_reason(error)}") from None
        except (http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError):
            raise OperatorError(f"{url}: what answers there is no sansip (expected JSON-RPC)") from None
        finally:
            line.close()


def read_token(file: str | None) -> str | None:
    """Return the token of ``file``, or of the environment; None if there is none."""
    if file is None:
        return os.environ.get("SANSIP_TOKEN") or None
    try:
        token = Path(file).read_text().strip()
    except OSError as error:
        raise OperatorError(f"{file}: {os_reason(error)}") from None
    except UnicodeDecodeError:
        token = ""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise OperatorError(f"{file}: expected one token, as `sansip token` prints it")
    return token


def _checked(url: str, token: str | None) -> SplitResult:
    """Return the parts of ``url``; raise OperatorError if no request may go there."""
    try:
        where = urlsplit(url)
        host, _ = where.hostname, where.port
    except ValueError:
        host = None
    if not host or where.scheme not in ("http", "https") or where.query or where.username is not None:
        raise OperatorError(f"{url}: expected the address of a server, like https://sip.example.org:8443")
    if token is not None and where.scheme == "http" and not _is_loopback(host):
        raise OperatorError(f"{url}: anybody on the way would read the token; use https")
    return where


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""Path: a proxy between a phone and its registrar stays on the way (RFC 3327 5.2, RFC 5626 5.1).

Theory of operation: the proxy adds to the Path of a REGISTER a URI at which the next hop reaches this node.
The URI has the token of the flow that the REGISTER came over. The registrar keeps the URI with the binding,
and each request for the phone comes back with it in Route. ``ob`` says that we are the first hop and that the
token is of the phone's own flow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sansip.proxy.secure import as_sips

if TYPE_CHECKING:
    from sansip.transport import Listener
    from sansip.wire import Request, Response

__all__ = ["PathValue"]


@dataclass(slots=True)
class PathValue:
    """The value that we put into the Path of one REGISTER.

    Attributes:
        token: of the flow that it came over, "" behind another proxy.
        ob: the phone registers this flow, and we are the first hop (RFC 5626 5.1).
        flow_timer: seconds for Flow-Timer in the answer, 0 for none (RFC 5626 5.4).
    """

    token: str = ""
    ob: bool = False
    flow_timer: int = 0

    def add(self, request: Request, listener: Listener, secure: bool) -> None:
        """Put it in front of the Path of ``request``, which leaves by ``listener``.

        ``secure``: it leaves for a sips URI, and so is ours one (RFC 5630 5.2).
        """
        user = f"sip:{self.token}@" if self.token else "sip:"
        uri = listener.record_route.partition("<sip:")[2]
        line = f"Path: <{user}{uri}{';ob' if self.ob else ''}>"
        request.prepend_line("path", as_sips(line) if secure else line)

    def note(self, response: Response) -> bool:
        """Tell the phone how often to send keepalives, in the answer to a flow (RFC 5626 5.4).

        Returns whether it is told.
        """
        if not self.flow_timer or response.has("flow-timer") or not 200 <= response.status < 300:
            return False
        if not any(tag.lower() == "outbound" for tag in response.get_all("require")):
            return False
        response.append("Flow-Timer", str(self.flow_timer))
        return True

"""Session timers (RFC 4028): how long a session lives unless a side refreshes it.

Theory of operation: every INVITE and UPDATE, with its 2xx, negotiates anew. The result is ``interval`` and
the side that refreshes. Two instants follow from it: when we refresh, and when we give up. A peer may send
any number, so we take a smaller one as ``min_se``: a session that has to be refreshed twice a second would be
an attack on us (RFC 4028 11).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sansip.dialog.dialog import Refusal, has_option
from sansip.errors import RemoteProtocolError
from sansip.wire import Request, Response
from sansip.wire.headers.session import SessionExpires

__all__ = ["SessionTimer", "SessionTimerSettings", "interval_after_422", "session_refusal"]

# RFC 4028 4: the smallest allowed, and the default of Min-SE.
SMALLEST: Final = 90
# RFC 4028 10: the side that does not refresh ends the session so long before it expires.
_EARLY: Final = 32.0

Headers = list[tuple[str, object]]


@dataclass(slots=True)
class SessionTimerSettings:
    """The session timer settings of this side.

    Attributes:
        interval: seconds of Session-Expires that we ask for; 0 asks for no timer, and follows a peer's.
        min_se: the least we accept, 90 or more.
        refresher: "uac", "uas", or "" to leave the choice to the other side (as UAS: it is "uac").
    """

    interval: int = 1800
    min_se: int = SMALLEST
    refresher: str = ""

    def __post_init__(self) -> None:
        if self.min_se < SMALLEST:
            raise ValueError("min_se must be 90 seconds or more (RFC 4028 4)")
        if self.interval and self.interval < self.min_se:
            raise ValueError(f"interval must be 0, or at least min_se ({self.min_se})")
        if self.refresher not in ("", "uac", "uas"):
            raise ValueError('refresher must be "uac", "uas" or ""')


def _timer(message: Request | Response, name: str) -> SessionExpires | None:
    """Return Session-Expires or Min-SE, None where it is absent or malformed."""
    try:
        value: SessionExpires | None = message.typed(name)
    except RemoteProtocolError:
        return None
    return value


def _seconds(message: Request | Response, name: str) -> int | None:
    value = _timer(message, name)
    return None if value is None else value.seconds


def _supports_timer(request: Request) -> bool:
    return has_option(request, "supported", "timer")


def interval_after_422(request: Request, response: Response) -> int | None:
    """Return the Min-SE (and so Session-Expires) to ask for after a 422, None where it makes no sense.

    RFC 4028 7.3: it must be more than the refused value, so a server cannot keep us asking.
    """
    wanted = _seconds(response, "min-se")
    asked = _seconds(request, "session-expires")
    if response.status != 422 or wanted is None or asked is None or wanted <= asked:
        return None
    return wanted


def session_refusal(request: Request, settings: SessionTimerSettings) -> Refusal | None:
    """Return the 422 for an INVITE or UPDATE that asks for too short a session (RFC 4028 9), else None."""
    asked = _seconds(request, "session-expires")
    # Only a peer that supports timers can do something with a 422.
    if asked is None or asked >= settings.min_se or not _supports_timer(request):
        return None
    return Refusal(422, None, (("Min-SE", str(settings.min_se)),))


class SessionTimer:
    """The timer of one dialog.

    Attributes:
        interval: seconds agreed on, 0 without a timer.
        we_refresh: whether that is our part.
        min_se: the largest Min-SE heard in this dialog, 0 for none.
        refresh_at, expires_at: instants, None where there is none.
    """

    __slots__ = ("expires_at", "interval", "min_se", "refresh_at", "settings", "we_refresh")

    def __init__(self, settings: SessionTimerSettings) -> None:
        self.settings = settings
        self.interval = 0
        self.we_refresh = False
        self.min_se = 0
        self.refresh_at: float | None = None
        self.expires_at: float | None = None

    # --- as the side that asks

    def begin(self, request: Request) -> None:
        """Note what our first INVITE said."""
        said = _seconds(request, "min-se")
        if said is not None and said > self.settings.min_se:
            # RFC 4028 7.4: a 422 made us say it, and each later request does.
            self.min_se = said

    def request_headers(self) -> Headers:
        """Return Session-Expires and Min-SE of an INVITE or UPDATE of ours (RFC 4028 7.1, 7.4)."""
        headers: Headers = []
        asked = self.interval or self.settings.interval
        if asked:
            # RFC 4028 7.4: the maximum of Min-SE and the current interval.
            text = str(max(asked, self.min_se))
            # The role does not change on a refresh.
            refresher = self.settings.refresher
            if self.interval:
                refresher = "uac" if self.we_refresh else "uas"
            if refresher:
                text += f";refresher={refresher}"
            headers.append(("Session-Expires", text))
        if self.min_se:
            # RFC 4028 7.4: once heard of, in every request.
            headers.append(("Min-SE", self.min_se))
        return headers

    def accepted(self, request: Request, response: Response, now: float) -> None:
        """A 2xx to our INVITE or UPDATE (RFC 4028 7.2)."""
        agreed = _timer(response, "session-expires")
        if agreed is not None:
            self._start(agreed.seconds, agreed.refresher != "uas", now)
            return
        asked = _seconds(request, "session-expires")
        if asked is None:
            self._stop()
        else:
            # The other side knows no timers: for our own benefit we refresh.
            self._start(asked, True, now)

    def refused(self, request: Request, response: Response) -> bool:
        """A 422 to our request: note its Min-SE and return whether to ask again (RFC 4028 7.3, 7.4)."""
        wanted = interval_after_422(request, response)
        if wanted is None:
            return False
        self.min_se = max(self.min_se, wanted)
        return True

    # --- as the side that is asked

    def accept(self, request: Request, now: float) -> Headers:
        """Return the header fields of our 2xx to an INVITE or UPDATE, and start the timer (RFC 4028 9)."""
        heard = _seconds(request, "min-se")
        if heard is not None:
            self.min_se = max(self.min_se, min(heard, 0x7FFFFFFF))
        wanted = _timer(request, "session-expires")
        asked = None if wanted is None else wanted.seconds
        supported = _supports_timer(request)
        if asked is None:
            if not supported or not self.settings.interval:
                self._stop()
                return []
            # RFC 4028 9: we may ask for one ourselves, not below the Min-SE of the request.
            asked = max(self.settings.interval, heard or 0)
        elif asked < self.settings.min_se:
            # Too small, of a peer that could not understand a 422, and it must not be increased: no timer.
            self._stop()
            return []
        # RFC 4028 9, table 2: its choice, else ours; without support it is us.
        if not supported:
            refresher = "uas"
        elif wanted is not None and wanted.refresher in ("uac", "uas"):
            refresher = wanted.refresher
        else:
            refresher = self.settings.refresher or "uac"
        self._start(asked, refresher == "uas", now)
        headers: Headers = [("Session-Expires", f"{asked};refresher={refresher}")]
        if supported:
            # RFC 4028 9: the peer has to look at it.
            headers.append(("Require", "timer"))
        return headers

    # --- instants

    def _start(self, seconds: int, we_refresh: bool, now: float) -> None:
        # RFC 4028 11: whatever is said, not faster than our own minimum, nor beyond any clock.
        seconds = min(max(seconds, self.settings.min_se), 0x7FFFFFFF)
        self.interval = seconds
        self.we_refresh = we_refresh
        if we_refresh:
            # RFC 4028 7.2: once half the interval has elapsed.
            self.refresh_at = now + seconds / 2
            self.expires_at = now + seconds
        else:
            # RFC 4028 10: slightly before the expiration.
            self.refresh_at = None
            self.expires_at = now + seconds - min(_EARLY, seconds / 3)

    def _stop(self) -> None:
        self.interval = 0
        self.we_refresh = False
        self.refresh_at = self.expires_at = None

    def stop(self) -> None:
        """The session is over."""
        self._stop()

    def postpone(self, now: float) -> None:
        """A refresh failed or could not be sent: try again after half of what is left, 5 seconds at least."""
        if self.expires_at is not None and self.we_refresh:
            self.refresh_at = now + max((self.expires_at - now) / 2, 5.0)

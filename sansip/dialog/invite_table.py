"""The states of a session's dialog usage, and what every input does in each of them.

Theory of operation: the rule first, the code after, as in ``sansip.transaction``. A row names a
method of ``InviteUsage`` and the next state. Only one INVITE may be under way in a dialog, in
either direction (RFC 3261 14.1), so one state says both how far the dialog has come and whose
INVITE it is. The names "moratorium" and "mortal" are those of RFC 5407 2.1.

    calling      our INVITE has a dialog by a provisional response
    called       the peer's INVITE has no final response yet
    moratorium   we sent a 2xx, and its ACK has not come
    closing      the same, and our BYE waits for the ACK (RFC 3261 15)
    answering    a 2xx brought an offer, and our user has not yet answered it
    established  no INVITE is under way
    re-inviting  our re-INVITE is under way
    re-invited   the peer's re-INVITE has no final response yet
    mortal       our BYE is under way
    over         the session has ended; a repeated 2xx is still acknowledged
"""

from __future__ import annotations

from typing import Final

from sansip.transaction.table import IGNORE, IMPOSSIBLE, Machine, total

__all__ = [
    "ANSWERING",
    "CALLED",
    "CALLING",
    "CLOSING",
    "ESTABLISHED",
    "INVITE_USAGE",
    "MISUSE",
    "MORATORIUM",
    "MORTAL",
    "OVER",
    "RE_INVITED",
    "RE_INVITING",
]

CALLING: Final = "calling"
CALLED: Final = "called"
MORATORIUM: Final = "moratorium"
CLOSING: Final = "closing"
ANSWERING: Final = "answering"
ESTABLISHED: Final = "established"
RE_INVITING: Final = "re-inviting"
RE_INVITED: Final = "re-invited"
MORTAL: Final = "mortal"
OVER: Final = "over"

_STATES: Final = (
    CALLING,
    CALLED,
    MORATORIUM,
    CLOSING,
    ANSWERING,
    ESTABLISHED,
    RE_INVITING,
    RE_INVITED,
    MORTAL,
    OVER,
)

# The user asks for an action that the RFC does not allow now: LocalProtocolError.
MISUSE: Final = "misuse"

_INPUTS: Final = (
    # the user
    "ring",
    "accept",
    "refuse",
    "acknowledge",
    "re-INVITE",
    "UPDATE",
    "request",
    "BYE",
    # the peer's requests
    "INVITE received",
    "ACK received",
    "CANCEL received",
    "PRACK received",
    "UPDATE received",
    "BYE received",
    "request received",
    # responses to ours
    "1xx",
    "2xx",
    "failure",
    "BYE answered",
    "lost",
    # time
    "no ACK",
    "no PRACK",
    "invitation expired",
    "refresh",
    "session expired",
    "abandoned",
    "forgotten",
)

INVITE_USAGE: Final[Machine] = total(
    "INVITE usage",
    _STATES,
    _INPUTS,
    {
        # --- a caller whose call has an early dialog
        (CALLING, "ring"): MISUSE,
        (CALLING, "accept"): MISUSE,
        (CALLING, "refuse"): MISUSE,
        (CALLING, "acknowledge"): IGNORE,
        (CALLING, "re-INVITE"): MISUSE,
        (CALLING, "UPDATE"): ("send_update", CALLING),
        (CALLING, "request"): ("send_request", CALLING),
        # RFC 3261 15: a caller may end one early dialog by BYE; CANCEL ends them all.
        (CALLING, "BYE"): ("send_bye", MORTAL),
        # 14.2: an INVITE of ours is in progress.
        (CALLING, "INVITE received"): ("refuse_pending", CALLING),
        (CALLING, "ACK received"): IGNORE,
        (CALLING, "CANCEL received"): IMPOSSIBLE,
        (CALLING, "PRACK received"): ("refuse_prack", CALLING),
        (CALLING, "UPDATE received"): ("take_update", CALLING),
        # Every 2xx was lost, and the called side has given up (13.3.1.4).
        (CALLING, "BYE received"): ("take_bye", OVER),
        (CALLING, "request received"): ("pass_request", CALLING),
        (CALLING, "1xx"): ("take_provisional", CALLING),
        (CALLING, "2xx"): ("take_2xx", ESTABLISHED),
        # 12.3, 13.2.2.3
        (CALLING, "failure"): ("take_refusal", OVER),
        (CALLING, "BYE answered"): IMPOSSIBLE,
        # The INVITE's own final response will say how the dialog ends.
        (CALLING, "lost"): IGNORE,
        (CALLING, "no ACK"): IMPOSSIBLE,
        (CALLING, "no PRACK"): IMPOSSIBLE,
        (CALLING, "invitation expired"): IMPOSSIBLE,
        (CALLING, "refresh"): IMPOSSIBLE,
        (CALLING, "session expired"): IMPOSSIBLE,
        # 13.2.2.4: 64*T1 after the first 2xx of another branch.
        (CALLING, "abandoned"): ("abandon_early", OVER),
        (CALLING, "forgotten"): IMPOSSIBLE,
        # --- a called side that has not answered
        (CALLED, "ring"): ("send_provisional", CALLED),
        (CALLED, "accept"): ("accept_invite", CALLED),
        (CALLED, "refuse"): ("refuse_invite", OVER),
        (CALLED, "acknowledge"): IGNORE,
        (CALLED, "re-INVITE"): MISUSE,
        (CALLED, "UPDATE"): ("send_update", CALLED),
        (CALLED, "request"): ("send_request", CALLED),
        # RFC 3261 15: the called side must not send a BYE on an early dialog.
        (CALLED, "BYE"): MISUSE,
        # 14.2: a second INVITE before the final response to the first.
        (CALLED, "INVITE received"): ("refuse_second", CALLED),
        (CALLED, "ACK received"): IGNORE,
        (CALLED, "CANCEL received"): ("cancel_invite", OVER),
        (CALLED, "PRACK received"): ("take_prack", CALLED),
        (CALLED, "UPDATE received"): ("take_update", CALLED),
        # 15.1.2: pending requests get a 487.
        (CALLED, "BYE received"): ("take_bye", OVER),
        (CALLED, "request received"): ("pass_request", CALLED),
        (CALLED, "1xx"): IMPOSSIBLE,
        (CALLED, "2xx"): IMPOSSIBLE,
        (CALLED, "failure"): IMPOSSIBLE,
        (CALLED, "BYE answered"): IMPOSSIBLE,
        # The caller may not have heard of the dialog yet.
        (CALLED, "lost"): IGNORE,
        (CALLED, "no ACK"): IMPOSSIBLE,
        (CALLED, "no PRACK"): ("refuse_unheard", OVER),
        (CALLED, "invitation expired"): ("expire_invitation", OVER),
        (CALLED, "refresh"): IMPOSSIBLE,
        (CALLED, "session expired"): IMPOSSIBLE,
        (CALLED, "abandoned"): IMPOSSIBLE,
        (CALLED, "forgotten"): IMPOSSIBLE,
        # --- our 2xx has no ACK yet
        (MORATORIUM, "ring"): MISUSE,
        (MORATORIUM, "accept"): MISUSE,
        (MORATORIUM, "refuse"): MISUSE,
        (MORATORIUM, "acknowledge"): IGNORE,
        # 14.1: until the server transaction is confirmed.
        (MORATORIUM, "re-INVITE"): ("hold_attempt", MORATORIUM),
        (MORATORIUM, "UPDATE"): ("send_update", MORATORIUM),
        (MORATORIUM, "request"): ("send_request", MORATORIUM),
        # 15: not before the ACK, or 64*T1.
        (MORATORIUM, "BYE"): ("hang_up_later", CLOSING),
        # RFC 5407 3.1.4, 3.1.5
        (MORATORIUM, "INVITE received"): ("take_invite_early", MORATORIUM),
        (MORATORIUM, "ACK received"): ("take_ack", MORATORIUM),
        # RFC 5407 3.1.2: too late, 9.2: no effect.
        (MORATORIUM, "CANCEL received"): IGNORE,
        (MORATORIUM, "PRACK received"): ("take_prack", MORATORIUM),
        (MORATORIUM, "UPDATE received"): ("take_update", MORATORIUM),
        # RFC 5407 3.1.3, 3.1.6: the peer has hung up, with our 2xx or without it.
        (MORATORIUM, "BYE received"): ("take_bye", OVER),
        (MORATORIUM, "request received"): ("pass_request", MORATORIUM),
        (MORATORIUM, "1xx"): IMPOSSIBLE,
        (MORATORIUM, "2xx"): IMPOSSIBLE,
        (MORATORIUM, "failure"): IMPOSSIBLE,
        (MORATORIUM, "BYE answered"): IMPOSSIBLE,
        # Perhaps the peer does not have the 2xx yet; if it never gets it, no ACK comes.
        (MORATORIUM, "lost"): IGNORE,
        # 13.3.1.4
        (MORATORIUM, "no ACK"): ("give_up", MORTAL),
        (MORATORIUM, "no PRACK"): IMPOSSIBLE,
        (MORATORIUM, "invitation expired"): IMPOSSIBLE,
        (MORATORIUM, "refresh"): ("refresh", MORATORIUM),
        (MORATORIUM, "session expired"): ("expire", MORTAL),
        (MORATORIUM, "abandoned"): IMPOSSIBLE,
        (MORATORIUM, "forgotten"): IMPOSSIBLE,
        # --- the same, hung up by our user
        (CLOSING, "ring"): MISUSE,
        (CLOSING, "accept"): MISUSE,
        (CLOSING, "refuse"): MISUSE,
        (CLOSING, "acknowledge"): IGNORE,
        (CLOSING, "re-INVITE"): MISUSE,
        (CLOSING, "UPDATE"): MISUSE,
        (CLOSING, "request"): MISUSE,
        (CLOSING, "BYE"): IGNORE,
        (CLOSING, "INVITE received"): ("refuse_gone", CLOSING),
        (CLOSING, "ACK received"): ("hang_up", MORTAL),
        (CLOSING, "CANCEL received"): IGNORE,
        (CLOSING, "PRACK received"): ("take_prack", CLOSING),
        (CLOSING, "UPDATE received"): ("refuse_gone", CLOSING),
        (CLOSING, "BYE received"): ("take_bye", OVER),
        (CLOSING, "request received"): ("refuse_gone", CLOSING),
        (CLOSING, "1xx"): IMPOSSIBLE,
        (CLOSING, "2xx"): IMPOSSIBLE,
        (CLOSING, "failure"): IMPOSSIBLE,
        (CLOSING, "BYE answered"): IMPOSSIBLE,
        (CLOSING, "lost"): IGNORE,
        (CLOSING, "no ACK"): ("hang_up", MORTAL),
        (CLOSING, "no PRACK"): IMPOSSIBLE,
        (CLOSING, "invitation expired"): IMPOSSIBLE,
        (CLOSING, "refresh"): IMPOSSIBLE,
        (CLOSING, "session expired"): IMPOSSIBLE,
        (CLOSING, "abandoned"): IMPOSSIBLE,
        (CLOSING, "forgotten"): IMPOSSIBLE,
        # --- a 2xx brought an offer, and its ACK waits for our user's answer
        (ANSWERING, "ring"): MISUSE,
        (ANSWERING, "accept"): MISUSE,
        (ANSWERING, "refuse"): MISUSE,
        (ANSWERING, "acknowledge"): ("send_ack", ESTABLISHED),
        (ANSWERING, "re-INVITE"): ("hold_attempt", ANSWERING),
        (ANSWERING, "UPDATE"): ("send_update", ANSWERING),
        (ANSWERING, "request"): ("send_request", ANSWERING),
        # 13.2.2.4: every 2xx has its ACK, then the BYE.
        (ANSWERING, "BYE"): ("acknowledge_and_hang_up", MORTAL),
        (ANSWERING, "INVITE received"): ("refuse_pending", ANSWERING),
        (ANSWERING, "ACK received"): IGNORE,
        (ANSWERING, "CANCEL received"): IMPOSSIBLE,
        (ANSWERING, "PRACK received"): ("refuse_prack", ANSWERING),
        (ANSWERING, "UPDATE received"): ("take_update", ANSWERING),
        (ANSWERING, "BYE received"): ("take_bye", OVER),
        (ANSWERING, "request received"): ("pass_request", ANSWERING),
        (ANSWERING, "1xx"): IGNORE,
        # Repeated, for it has no ACK.
        (ANSWERING, "2xx"): IGNORE,
        (ANSWERING, "failure"): IMPOSSIBLE,
        (ANSWERING, "BYE answered"): IMPOSSIBLE,
        (ANSWERING, "lost"): ("acknowledge_and_lose", MORTAL),
        (ANSWERING, "no ACK"): IMPOSSIBLE,
        (ANSWERING, "no PRACK"): IMPOSSIBLE,
        (ANSWERING, "invitation expired"): IMPOSSIBLE,
        (ANSWERING, "refresh"): ("refresh", ANSWERING),
        (ANSWERING, "session expired"): ("acknowledge_and_expire", MORTAL),
        (ANSWERING, "abandoned"): IMPOSSIBLE,
        (ANSWERING, "forgotten"): IMPOSSIBLE,
        # --- nothing under way
        (ESTABLISHED, "ring"): MISUSE,
        (ESTABLISHED, "accept"): MISUSE,
        (ESTABLISHED, "refuse"): MISUSE,
        (ESTABLISHED, "acknowledge"): IGNORE,
        (ESTABLISHED, "re-INVITE"): ("send_invite", RE_INVITING),
        (ESTABLISHED, "UPDATE"): ("send_update", ESTABLISHED),
        (ESTABLISHED, "request"): ("send_request", ESTABLISHED),
        (ESTABLISHED, "BYE"): ("send_bye", MORTAL),
        (ESTABLISHED, "INVITE received"): ("take_invite", RE_INVITED),
        (ESTABLISHED, "ACK received"): IGNORE,
        (ESTABLISHED, "CANCEL received"): IGNORE,
        (ESTABLISHED, "PRACK received"): ("take_prack", ESTABLISHED),
        (ESTABLISHED, "UPDATE received"): ("take_update", ESTABLISHED),
        (ESTABLISHED, "BYE received"): ("take_bye", OVER),
        (ESTABLISHED, "request received"): ("pass_request", ESTABLISHED),
        # Late ones of an INVITE that has its final response.
        (ESTABLISHED, "1xx"): IGNORE,
        (ESTABLISHED, "2xx"): IGNORE,
        (ESTABLISHED, "failure"): IGNORE,
        (ESTABLISHED, "BYE answered"): IMPOSSIBLE,
        # 12.2.1.2
        (ESTABLISHED, "lost"): ("lose", MORTAL),
        (ESTABLISHED, "no ACK"): IMPOSSIBLE,
        (ESTABLISHED, "no PRACK"): IMPOSSIBLE,
        (ESTABLISHED, "invitation expired"): IMPOSSIBLE,
        (ESTABLISHED, "refresh"): ("refresh", ESTABLISHED),
        # RFC 4028 10
        (ESTABLISHED, "session expired"): ("expire", MORTAL),
        (ESTABLISHED, "abandoned"): IGNORE,
        (ESTABLISHED, "forgotten"): IMPOSSIBLE,
        # --- our re-INVITE
        (RE_INVITING, "ring"): MISUSE,
        (RE_INVITING, "accept"): MISUSE,
        (RE_INVITING, "refuse"): MISUSE,
        (RE_INVITING, "acknowledge"): IGNORE,
        (RE_INVITING, "re-INVITE"): ("hold_attempt", RE_INVITING),
        (RE_INVITING, "UPDATE"): ("send_update", RE_INVITING),
        (RE_INVITING, "request"): ("send_request", RE_INVITING),
        # Its INVITE gets a 487 at the peer (15.1.2), or a 2xx, which is acknowledged.
        (RE_INVITING, "BYE"): ("send_bye", MORTAL),
        (RE_INVITING, "INVITE received"): ("refuse_pending", RE_INVITING),
        (RE_INVITING, "ACK received"): IGNORE,
        (RE_INVITING, "CANCEL received"): IGNORE,
        (RE_INVITING, "PRACK received"): ("refuse_prack", RE_INVITING),
        (RE_INVITING, "UPDATE received"): ("take_update", RE_INVITING),
        (RE_INVITING, "BYE received"): ("take_bye", OVER),
        (RE_INVITING, "request received"): ("pass_request", RE_INVITING),
        (RE_INVITING, "1xx"): ("take_provisional", RE_INVITING),
        (RE_INVITING, "2xx"): ("take_2xx", ESTABLISHED),
        # 14.1: the session stays as it was.
        (RE_INVITING, "failure"): ("take_re_invite_refusal", ESTABLISHED),
        (RE_INVITING, "BYE answered"): IMPOSSIBLE,
        (RE_INVITING, "lost"): ("lose", MORTAL),
        (RE_INVITING, "no ACK"): IMPOSSIBLE,
        (RE_INVITING, "no PRACK"): IMPOSSIBLE,
        (RE_INVITING, "invitation expired"): IMPOSSIBLE,
        (RE_INVITING, "refresh"): ("refresh", RE_INVITING),
        (RE_INVITING, "session expired"): ("expire", MORTAL),
        (RE_INVITING, "abandoned"): IGNORE,
        (RE_INVITING, "forgotten"): IMPOSSIBLE,
        # --- the peer's re-INVITE
        (RE_INVITED, "ring"): ("send_provisional", RE_INVITED),
        (RE_INVITED, "accept"): ("accept_invite", RE_INVITED),
        (RE_INVITED, "refuse"): ("refuse_re_invite", ESTABLISHED),
        (RE_INVITED, "acknowledge"): IGNORE,
        (RE_INVITED, "re-INVITE"): ("hold_attempt", RE_INVITED),
        (RE_INVITED, "UPDATE"): ("send_update", RE_INVITED),
        (RE_INVITED, "request"): ("send_request", RE_INVITED),
        (RE_INVITED, "BYE"): ("send_bye", MORTAL),
        (RE_INVITED, "INVITE received"): ("refuse_second", RE_INVITED),
        (RE_INVITED, "ACK received"): IGNORE,
        (RE_INVITED, "CANCEL received"): ("cancel_re_invite", ESTABLISHED),
        (RE_INVITED, "PRACK received"): ("take_prack", RE_INVITED),
        (RE_INVITED, "UPDATE received"): ("take_update", RE_INVITED),
        (RE_INVITED, "BYE received"): ("take_bye", OVER),
        (RE_INVITED, "request received"): ("pass_request", RE_INVITED),
        (RE_INVITED, "1xx"): IGNORE,
        (RE_INVITED, "2xx"): IGNORE,
        (RE_INVITED, "failure"): IGNORE,
        (RE_INVITED, "BYE answered"): IMPOSSIBLE,
        (RE_INVITED, "lost"): ("lose", MORTAL),
        (RE_INVITED, "no ACK"): IMPOSSIBLE,
        (RE_INVITED, "no PRACK"): ("refuse_unheard_re_invite", ESTABLISHED),
        (RE_INVITED, "invitation expired"): ("expire_re_invite", ESTABLISHED),
        (RE_INVITED, "refresh"): ("refresh", RE_INVITED),
        (RE_INVITED, "session expired"): ("expire", MORTAL),
        (RE_INVITED, "abandoned"): IGNORE,
        (RE_INVITED, "forgotten"): IMPOSSIBLE,
        # --- our BYE is under way
        (MORTAL, "ring"): MISUSE,
        (MORTAL, "accept"): MISUSE,
        (MORTAL, "refuse"): MISUSE,
        (MORTAL, "acknowledge"): IGNORE,
        (MORTAL, "re-INVITE"): MISUSE,
        (MORTAL, "UPDATE"): MISUSE,
        (MORTAL, "request"): MISUSE,
        (MORTAL, "BYE"): IGNORE,
        # RFC 5407 3.2.2
        (MORTAL, "INVITE received"): ("refuse_gone", MORTAL),
        # RFC 5407 3.1.6, 3.2.4: a 2xx that we repeat has its handshake whatever became of the session.
        (MORTAL, "ACK received"): ("note_ack", MORTAL),
        (MORTAL, "CANCEL received"): IGNORE,
        (MORTAL, "PRACK received"): ("refuse_gone", MORTAL),
        (MORTAL, "UPDATE received"): ("refuse_gone", MORTAL),
        # RFC 5407 3.2.1: both hang up at once.
        (MORTAL, "BYE received"): ("take_bye_crossing", MORTAL),
        (MORTAL, "request received"): ("refuse_gone", MORTAL),
        (MORTAL, "1xx"): IGNORE,
        # RFC 5407 3.2.3: every 2xx is acknowledged.
        (MORTAL, "2xx"): ("acknowledge_only", MORTAL),
        (MORTAL, "failure"): ("note_final", MORTAL),
        (MORTAL, "BYE answered"): ("take_bye_answer", OVER),
        (MORTAL, "lost"): IGNORE,
        (MORTAL, "no ACK"): ("note_no_ack", MORTAL),
        (MORTAL, "no PRACK"): IMPOSSIBLE,
        (MORTAL, "invitation expired"): IMPOSSIBLE,
        (MORTAL, "refresh"): IMPOSSIBLE,
        (MORTAL, "session expired"): IMPOSSIBLE,
        (MORTAL, "abandoned"): IGNORE,
        (MORTAL, "forgotten"): IMPOSSIBLE,
        # --- over, but for a 2xx that is repeated
        (OVER, "ring"): MISUSE,
        (OVER, "accept"): MISUSE,
        (OVER, "refuse"): MISUSE,
        (OVER, "acknowledge"): IGNORE,
        (OVER, "re-INVITE"): MISUSE,
        (OVER, "UPDATE"): MISUSE,
        (OVER, "request"): MISUSE,
        (OVER, "BYE"): IGNORE,
        (OVER, "INVITE received"): ("refuse_gone", OVER),
        (OVER, "ACK received"): ("note_ack", OVER),
        (OVER, "CANCEL received"): IGNORE,
        # RFC 3262 3: for a response that was sent reliably before a refusal.
        (OVER, "PRACK received"): ("take_late_prack", OVER),
        (OVER, "UPDATE received"): ("refuse_gone", OVER),
        (OVER, "BYE received"): ("refuse_gone", OVER),
        (OVER, "request received"): ("refuse_gone", OVER),
        (OVER, "1xx"): IGNORE,
        (OVER, "2xx"): ("acknowledge_only", OVER),
        (OVER, "failure"): ("note_final", OVER),
        (OVER, "BYE answered"): IGNORE,
        (OVER, "lost"): IGNORE,
        (OVER, "no ACK"): ("note_no_ack", OVER),
        (OVER, "no PRACK"): IMPOSSIBLE,
        (OVER, "invitation expired"): IMPOSSIBLE,
        (OVER, "refresh"): IMPOSSIBLE,
        (OVER, "session expired"): IMPOSSIBLE,
        (OVER, "abandoned"): IGNORE,
        (OVER, "forgotten"): ("forget", OVER),
    },
)

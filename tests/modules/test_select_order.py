"""Who acts first on a user who is not registered here, where several modules could."""

from __future__ import annotations

from sansip.module import Use
from sansip.modules.aliases import Aliases
from sansip.modules.calls import Calls
from sansip.modules.dialplan import Dialplan
from sansip.modules.dispatcher import Destination, Dispatcher, DispatcherSettings
from sansip.modules.enum import Enum
from sansip.modules.lcr import Lcr
from sansip.modules.messages import Messages
from sansip.modules.quotas import Quotas
from sansip.modules.voicemail import Voicemail, VoicemailSettings
from sansip_server.commands.modules import _acting
from tests.modules.lcr.farm import PLACES, Farm, asked, call, table
from tests.rig import only

ELSEWHERE = "192.0.2.77"


def test_numbers_come_first() -> None:
    """What has a rate goes to its gateway; the rest to the servers behind; nobody left: the mailbox."""
    kinds = [Voicemail, Messages, Lcr, Enum, Dispatcher, Calls]
    assert _acting(kinds)["stage select"] == ["enum", "lcr", "dispatcher", "messages", "voicemail"]


def test_limits_come_before_a_group_that_takes_all() -> None:
    """`dispatcher` with takes = "calls" ends the route: a user beyond a quota must not get so far.

    Numbers are rewritten before both, so the limits see what is called.
    """
    kinds = [Dispatcher, Dialplan, Quotas, Aliases, Calls]
    assert _acting(kinds)["stage translate"] == ["aliases", "dialplan", "quotas", "dispatcher"]


def test_lcr_before_dispatcher() -> None:
    """A number with a rate is never sent to a server of ``dispatcher``, any other user is."""
    settings = DispatcherSettings([Destination(f"sip:{ELSEWHERE}")], probe_interval=0.0)
    uses = [Use(Dispatcher, settings), Use(Voicemail, VoicemailSettings("sip:192.0.2.90:5080"))]
    rig = Farm(table("one,49,0.01"), beside=uses)
    assert asked(rig) == ["one"]
    assert only(call(rig, "bob", 1), "INVITE").to == (ELSEWHERE, 5060)
    assert PLACES["one"][0] != ELSEWHERE

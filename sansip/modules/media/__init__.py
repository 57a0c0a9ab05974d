"""Media steered, never carried: relays (rtpengine, rtpproxy) get commands, and calls their addresses."""

from sansip.modules.media.events import CallUnrelayed, RelayChanged, RelayDoubted
from sansip.modules.media.module import Media
from sansip.modules.media.settings import MediaSettings, RelaySettings

__all__ = ["CallUnrelayed", "Media", "MediaSettings", "RelayChanged", "RelayDoubted", "RelaySettings"]

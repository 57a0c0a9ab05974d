"""linphone as a phone: linphonec 5.1 on a terminal of its own, in a home of its own.

Theory of operation: its configuration is a file; the folders that it keeps things in have to be there, for
without its database it opens no socket. What happens is said on its terminal, a line for each state.
"""

from __future__ import annotations

from pathlib import Path

from tests.interop.softphones import Softphone
from tools.peers import free_port

__all__ = ["Linphone"]

CONFIG = """\
[sip]
sip_port={udp}
sip_tcp_port={tcp}
sip_tls_port=-1
register_only_when_network_is_up=0
guess_hostname=1
default_proxy=0
use_ipv6=0
[rtp]
audio_rtp_port={rtp}
[proxy_0]
reg_proxy=<sip:{host}:{port};transport={transport}>
reg_route=<sip:{host}:{port};transport={transport};lr>
reg_identity=sip:{user}@{domain}
reg_expires={expires}
reg_sendregister=1
publish=0
[auth_info_0]
username={user}
passwd={password}
realm={domain}
domain={domain}
"""
HOMES = {"HOME": "", "XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "config"}


class Linphone(Softphone):
    """A phone for ``sip:user@domain``, all of whose requests go through ``server``."""

    def __init__(
        self,
        directory: Path,
        user: str,
        domain: str,
        server: tuple[str, int],
        transport: str,
        password: str,
        expires: int = 60,
    ) -> None:
        self.aor = f"sip:{user}@{domain}"
        for folder in ("data/linphone", "config/linphone", ".local/share/linphone"):
            (directory / folder).mkdir(parents=True)
        ports = {"udp": -1, "tcp": -1, transport: free_port()}
        text = CONFIG.format(
            user=user,
            domain=domain,
            host=server[0],
            port=server[1],
            transport=transport,
            password=password,
            expires=expires,
            rtp=20_000 + 2 * (free_port() % 3_000),
            **ports,
        )
        (directory / "linphonerc").write_text(text)
        command = ["linphonec", "-c", "linphonerc", "-d", "3", "-l", "linphone.log"]
        homes = {name: str(directory / folder) for name, folder in HOMES.items()}
        super().__init__(command, directory / "terminal.log", cwd=directory, environment=homes, terminal=True)

    def wait_until_registered(self) -> None:
        """Wait until it says that it is; it does so only when asked."""
        for _ in range(30):
            self.tell("status register")
            if self.hear(r"^registered(=-1|=0|, identity=\S+)")[1].startswith(", identity"):
                return
        raise self.failure("did not register")

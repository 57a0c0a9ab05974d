"""What a media relay adds to a call: ``sansip serve`` with ``[media]`` beside Kamailio's ``rtpengine``.

Theory of operation: the measurements of ``benchmarks/calls.py``, four servers in turn: each program without a
relay and with one, Debian's rtpengine, which runs beside SIPp on the other core and relays no packet. The
figure is the difference of the two CPU times per call, so the programs' own costs do not count.

    python benchmarks/media.py --rate 150 --seconds 10 --rounds 3
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.calls import DOMAIN, HOST, Begin, line, measure, parse_arguments, pinned  # noqa: E402 (path)
from tools.peers import Program, free_port, kamailio, kamailio_config, sansip_serve  # noqa: E402 (as above)

FLAGS = '"replace-origin replace-session-connection strict-source"'


def rtpengine(directory: Path, core: int) -> tuple[Program, int]:
    """Start the relay on ``core``; return it with the port of its commands."""
    port = free_port()
    command = [*pinned(core), "rtpengine", "--config-file=none", "--table=-1", "--foreground", "--log-stderr"]
    command += ["--log-level=3", f"--interface={HOST}", f"--listen-ng={HOST}:{port}"]
    command += [
        f"--listen-cli={HOST}:{free_port()}",
        "--port-min=30000",
        "--port-max=59999",
        "--delete-delay=0",
    ]
    return Program(command, directory / "rtpengine.log", cwd=directory), port


def kamailio_text(listeners: Sequence[str], port: int) -> str:
    """Return Kamailio's configuration with its module rtpengine."""
    text = kamailio_config(listeners, [DOMAIN])
    text = text.replace(
        'modparam("usrloc", "db_mode", 0)',
        'loadmodule "rtpengine.so"\n'
        f'modparam("rtpengine", "rtpengine_sock", "udp:{HOST}:{port}")\nmodparam("usrloc", "db_mode", 0)',
    )
    text = text.replace(
        "if (loose_route()) { t_relay(); exit; }",
        'if (loose_route()) { if (is_method("BYE")) rtpengine_delete(); t_relay(); exit; }',
    )
    text = text.replace(
        "  if (!t_relay()) sl_reply_error();",
        f'  if (is_method("INVITE")) {{ rtpengine_offer({FLAGS}); t_on_reply("MEDIA"); }}\n'
        "  if (!t_relay()) sl_reply_error();",
    )
    return (
        text + f'\nonreply_route[MEDIA] {{ if (has_body("application/sdp")) rtpengine_answer({FLAGS}); }}\n'
    )


def tables(port: int) -> str:
    """Return our configuration with the same relay."""
    return f'[media]\nprofiles = ["always"]\n[[media.relays]]\nuri = "ng:{HOST}:{port}"\n'


def launches(port: int) -> dict[str, Begin]:
    """Return how each server is started."""

    def ours(tables: str) -> Begin:
        def launch(directory: Path, listeners: Sequence[str], prefix: Sequence[str]) -> Program:
            path = directory / "media.toml"
            path.write_text(tables)
            return sansip_serve(directory, listeners, [DOMAIN], ["--config", str(path)], prefix)

        return launch

    def theirs(with_relay: bool) -> Begin:
        def launch(directory: Path, listeners: Sequence[str], prefix: Sequence[str]) -> Program:
            text = kamailio_text(listeners, port) if with_relay else None
            return kamailio(directory, listeners, [DOMAIN], ["-x", "fm"], prefix, text)

        return launch

    return {
        "sansip": ours(""),
        "sansip+media": ours(tables(port)),
        "kamailio": theirs(False),
        "kamailio+media": theirs(True),
    }


def main() -> int:
    arguments = parse_arguments()
    missing = [name for name in ("sipp", "taskset", "kamailio", "rtpengine") if shutil.which(name) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        return 2
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="sansip-media-") as directory:
        relay, port = rtpengine(Path(directory), arguments.sipp_core)
        with relay:
            for _ in range(arguments.rounds):
                for name, launch in launches(port).items():
                    result = measure(name, "calls", arguments, launch)
                    found.setdefault(name, []).append(result.cpu_us)
                    print(line(result), flush=True)
    medians = {name: statistics.median(values) for name, values in found.items()}
    ours, theirs = (medians[f"{name}+media"] - medians[name] for name in ("sansip", "kamailio"))
    print(f"a relay adds: sansip {ours:.0f} µs a call, kamailio {theirs:.0f} µs. Ratio {ours / theirs:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

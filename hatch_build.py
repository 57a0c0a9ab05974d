"""What is compiled when a wheel is made: five modules in C always, the hot modules on request.

The scanner of heads (``sansip/wire/_head.c``), keyed hashes (``sansip/_keyed.c``), the datagrams of a
socket (``sansip_sockets/_udp.c``), bindings as octets (``sansip/location/_packed.c``) and what ``media``
reads (``sansip/modules/media/_octets.c``) take a second each; where there is no C compiler, or it fails, the
wheel is made without them and one line says so; ``SANSIP_PURE=1`` leaves them out. ``SANSIP_COMPILE=1 pip
install .`` makes the compiled build: a wheel with the hot modules compiled.

Theory of operation: mypyc turns annotated modules into C extensions; the source
is one and the same. With the variable, the modules below are compiled in a copy of the
tree, so that none of it is left beside the source, and put into the wheel next
to their ``.py`` files: Python imports the extension where both exist. Compiled
modules call each other without Python's ceremony, so what is compiled is the
whole path of a message, from socket to socket, and nothing beside it. Two kinds of module stay as they
are: ``stack.py``, which embedding programs may subclass, and dataclasses that no message passes through.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Patterns below sansip/; an __init__ has nothing to compile.
COMPILED = (
    "actions.py",
    "bindings_changed.py",
    "clock.py",
    "driver.py",
    "entropy.py",
    "keyed.py",
    "later.py",
    "limits.py",
    "questions.py",
    "reception.py",
    "seal.py",
    "sources.py",
    "sums.py",
    "wire/abnf.py",
    "wire/brief.py",
    "wire/compose.py",
    "wire/echo.py",
    "wire/fields.py",
    "wire/head.py",
    "wire/host.py",
    "wire/message.py",
    "wire/params.py",
    "wire/opening.py",
    "wire/passing.py",
    "wire/plain_head.py",
    "wire/reader.py",
    "wire/timed.py",
    "wire/uri.py",
    "wire/usage.py",
    "wire/values.py",
    "wire/headers/auth.py",
    "wire/headers/fields.py",
    "wire/headers/name_addr.py",
    "wire/headers/simple.py",
    "wire/headers/via.py",
    "auth/algorithms.py",
    "auth/authenticator.py",
    "auth/guard.py",
    "auth/nonce.py",
    "auth/offer.py",
    "auth/replay.py",
    "dialog/dialog.py",
    "dialog/effects.py",
    "dialog/notifier.py",
    "dialog/route_set.py",
    "dialog/subscriber.py",
    "dialog/subscription.py",
    "transport/connection.py",
    "transport/connections.py",
    "transport/filter.py",
    "transport/flow.py",
    "transport/flow_token.py",
    "transport/framing.py",
    "transport/listeners.py",
    "transport/nat.py",
    "transport/next_hop.py",
    "transport/sender.py",
    "transport/via.py",
    "transaction/*.py",
    "client/*.py",
    "modules/media/bencode.py",
    "modules/media/body.py",
    "modules/media/breaker.py",
    "modules/media/command.py",
    "modules/media/deletions.py",
    "modules/media/judging.py",
    "modules/media/line.py",
    "modules/media/ng.py",
    "modules/media/octets.py",
    "modules/media/profiles.py",
    "modules/media/relay.py",
    "modules/media/relays.py",
    "modules/media/ride.py",
    "modules/media/session.py",
    "modules/media/sessions.py",
    "modules/media/shared.py",
    "modules/media/steering.py",
    "proxy/*.py",
    "location/*.py",
    "registrar/*.py",
    "rows/table.py",
    "routing/arrival.py",
    "routing/brief_proof.py",
    "routing/briefs.py",
    "routing/change.py",
    "routing/flow_route.py",
    "routing/flows.py",
    "routing/gate.py",
    "routing/incoming.py",
    "routing/opening_size.py",
    "routing/opening_flows.py",
    "routing/openings.py",
    "routing/parts.py",
    "routing/passages.py",
    "routing/passing_flows.py",
    "routing/plain_params.py",
    "routing/quick_relay.py",
    "routing/leading.py",
    "routing/relaying.py",
    "routing/request.py",
    "routing/changes.py",
    "routing/named_flows.py",
    "routing/shared.py",
    "routing/shared_openings.py",
    "routing/room.py",
    "routing/shortcut.py",
    "routing/stored_briefs.py",
    "routing/stream_ways.py",
    "routing/usages.py",
    "routing/awaitables.py",
    "routing/stepper.py",
    "modules/calls/book.py",
    "modules/calls/call.py",
    "modules/calls/counts.py",
    "modules/calls/elsewhere.py",
    "modules/calls/events.py",
    "modules/calls/ride.py",
    "modules/calls/states.py",
    "modules/calls/strangers.py",
    "modules/calls/supervision.py",
    "modules/calls/talks.py",
    "modules/calls/watch.py",
    "modules/dispatcher/lead.py",
    "modules/dispatcher/order.py",
    "modules/failover/attempt.py",
    "modules/failover/health.py",
    "modules/failover/trail.py",
    "modules/lcr/choice.py",
    "modules/lcr/lead.py",
    "modules/lcr/measuring.py",
    "modules/lcr/number.py",
    "modules/lcr/offer.py",
    "modules/lcr/packed.py",
    "modules/lcr/quality.py",
    "modules/lcr/rates.py",
    "modules/events/beginning.py",
    "modules/events/book.py",
    "modules/events/content.py",
    "modules/events/notifying.py",
    "modules/events/refreshing.py",
    "modules/events/screening.py",
    "modules/events/sending.py",
    "modules/events/starting.py",
    "modules/events/subscription.py",
    "modules/events/telling.py",
    "modules/events/writing.py",
    "modules/messages/accepting.py",
    "modules/messages/delivery.py",
    "modules/messages/handing.py",
    "modules/messages/holdings.py",
    "modules/messages/keeping.py",
    "modules/messages/recent.py",
    "modules/messages/texts.py",
    "modules/presence/composing.py",
    "modules/presence/pidf.py",
    "modules/presence/plain.py",
    "modules/presence/views.py",
    "modules/publications/held.py",
    "modules/publications/renewing.py",
    "modules/publications/shelf.py",
    "module/metrics.py",
    "module/plain_socket.py",
    "module/rows.py",
    "module/senders.py",
    "module/sockets.py",
    "module/taking.py",
    "module/telling.py",
)
# The same for the adapters, each package below ``adapters``.
COMPILED_ADAPTERS = (
    "sockets/sansip_sockets/answering.py",
    "sockets/sansip_sockets/clients.py",
    "sockets/sansip_sockets/connection.py",
    "sockets/sansip_sockets/datagrams.py",
    "sockets/sansip_sockets/driven.py",
    "sockets/sansip_sockets/gathering.py",
    "sockets/sansip_sockets/goodbye.py",
    "sockets/sansip_sockets/inbox.py",
    "sockets/sansip_sockets/performing.py",
    "sockets/sansip_sockets/polled.py",
    "sockets/sansip_sockets/streams.py",
    "sockets/sansip_sockets/tls_filter.py",
    "sockets/sansip_sockets/workers.py",
    "sockets/sansip_sockets/writing.py",
    "blocking/sansip_blocking/receiver.py",
    "blocking/sansip_blocking/several.py",
)
# Among them, but left as they are: a class that others derive from which are not compiled, one that compiled
# code could not fill, and settings: the configuration is read by their types, and mypyc keeps plain ones.
INTERPRETED = ("client/asker.py", "proxy/config.py", "proxy/unseen.py", "registrar/config.py")
# Below server/sansip_server/: what the event of a registration passes through, and a registration in Redis.
# Not the connection: compiled,
# redis_link.py sent the rest of a full socket in a wrong order (tests/server/stores/test_redis_link.py).
COMPILED_SERVER = (
    "eventlog.py",
    "followers.py",
    "location_turns.py",
    "stores/redis_clock.py",
    "stores/redis_codec.py",
    "stores/redis_location.py",
    "stores/resp.py",
    "stores/tracked.py",
)


class CompileHook(BuildHookInterface[Any]):
    """Adds the extensions to a wheel."""

    PLUGIN_NAME = "custom"
    _in_c: Path | None = None

    def _wanted(self) -> bool:
        return self.target_name == "wheel" and os.environ.get("SANSIP_COMPILE", "") not in ("", "0")

    def dependencies(self) -> list[str]:
        """Return what pip has to install for the build, nothing for a pure one."""
        return ["mypy>=2.0", "setuptools>=70"] if self._wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say where in the wheel the results go."""
        if self.target_name != "wheel" or version == "editable":
            return
        if os.environ.get("SANSIP_PURE", "") in ("", "0"):
            self._add_modules_in_c(build_data)
        if not self._wanted():
            return
        directory = Path(self.directory) / "compiled"
        shutil.rmtree(directory, ignore_errors=True)
        compile_modules(Path(self.root), directory)
        for path in directory.rglob("*"):
            if path.is_file():
                build_data["force_include"][str(path)] = path.relative_to(directory).as_posix()
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Take away what is in the wheel by now."""
        if self._in_c is not None:
            shutil.rmtree(self._in_c, ignore_errors=True)

    def _add_modules_in_c(self, build_data: dict[str, Any]) -> None:
        # Not beside the wheel: `finalize` takes it away.
        directory = self._in_c = Path(tempfile.mkdtemp(prefix="sansip-in-c-"))
        for compiled, package, lacking in (
            (compile_scanner, "sansip/wire", "the reader in Python reads all messages"),
            (compile_hashes, "sansip", "hashlib makes the keyed hashes"),
            (compile_datagrams, "sansip_sockets", "Python's sockets move the datagrams"),
            (compile_records, "sansip/location", "bindings are packed in Python"),
            (compile_octets, "sansip/modules/media", "descriptions for media relays are found in Python"),
        ):
            try:
                path = compiled(Path(self.root), directory)
            except (OSError, subprocess.CalledProcessError) as error:
                self.app.display_warning(f"sansip: {lacking}, for C was not compiled: {error}")
                continue
            build_data["force_include"][str(path)] = f"{package}/{path.name}"
            build_data["pure_python"] = False
            build_data["infer_tag"] = True


def compile_scanner(root: Path, directory: Path, *flags: str) -> Path:
    """Compile the scanner of heads of the project at ``root`` into ``directory``; return the extension.

    Raises OSError where there is no compiler, CalledProcessError where it fails.
    """
    return _compile(root / "sansip" / "wire" / "_head.c", directory, *flags)


def compile_hashes(root: Path, directory: Path, *flags: str) -> Path:
    """The same for keyed hashes."""
    return _compile(root / "sansip" / "_keyed.c", directory, *flags)


def compile_datagrams(root: Path, directory: Path, *flags: str) -> Path:
    """The same for the datagrams of a socket."""
    return _compile(root / "adapters" / "sockets" / "sansip_sockets" / "_udp.c", directory, *flags)


def compile_records(root: Path, directory: Path, *flags: str) -> Path:
    """The same for bindings as octets."""
    return _compile(root / "sansip" / "location" / "_packed.c", directory, *flags)


def compile_octets(root: Path, directory: Path, *flags: str) -> Path:
    """The same for what the module ``media`` reads."""
    return _compile(root / "sansip" / "modules" / "media" / "_octets.c", directory, *flags)


def _compile(source: Path, directory: Path, *flags: str) -> Path:
    target = directory / f"{source.stem}{sysconfig.get_config_var('EXT_SUFFIX')}"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    if shutil.which(compiler[0]) is None:
        # The one that made this Python is not here.
        compiler = ["cc"]
    linking = (sysconfig.get_config_var("LDSHARED") or "cc -shared").split()[1:]
    include = f"-I{sysconfig.get_path('include')}"
    subprocess.run(
        [*compiler, "-O2", "-fPIC", include, *flags, str(source), *linking, "-o", str(target)], check=True
    )
    return target


def compile_modules(root: Path, directory: Path) -> None:
    """Compile ``COMPILED`` of the project at ``root``; the extensions are written below ``directory``."""
    from mypyc.build import mypycify
    from setuptools import Distribution

    modules = sorted(
        path.relative_to(root).as_posix()
        for pattern in COMPILED
        for path in (root / "sansip").glob(pattern)
        if path.name != "__init__.py" and path.relative_to(root / "sansip").as_posix() not in INTERPRETED
    )
    # As in the wheel, each package lies at the top.
    modules += [f"sansip_server/{name}" for name in COMPILED_SERVER]
    modules += [name.partition("/")[2] for name in COMPILED_ADAPTERS]
    folders = {root / "adapters" / name.rpartition("/")[0]: None for name in COMPILED_ADAPTERS}
    with tempfile.TemporaryDirectory() as workshop, contextlib.chdir(workshop):
        for source in (root / "sansip", root / "server" / "sansip_server", *folders):
            shutil.copytree(source, source.name, ignore=shutil.ignore_patterns("__pycache__"))
        # Types are proved by `tox -e types`; here not even the dependencies are installed.
        extensions = mypycify(["--ignore-missing-imports", *modules], group_name="sansip")
        command = Distribution({"name": "sansip", "ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib = str(directory)  # type: ignore[attr-defined]  # setuptools' commands declare none
        command.parallel = os.cpu_count()  # type: ignore[attr-defined]  # setuptools' commands declare none
        command.ensure_finalized()
        command.run()

"""Acting out a trace in a world, step by step.

Theory of operation: steps are taken in order. The endpoint's agent writes a message to send from
the lines of the trace (``sending``). An expectation lets time run until a message fits, and then
compares (``expecting``). Any message that no step expected fails the trace.
"""

from __future__ import annotations

from sansip.wire import header_key
from sansip_conformance.exchanging import Exchanger
from sansip_conformance.expecting import Expecter
from sansip_conformance.names import UnknownNameError
from sansip_conformance.sending import Sender
from sansip_conformance.spoken import Hear, Say, kind_of
from sansip_conformance.story import Story, TraceFailedError
from sansip_conformance.trace import Expect, ExpectNothing, Fault, Line, Send, Step, Trace
from sansip_conformance.world import World

__all__ = ["Player", "TraceFailedError"]


class Player:
    """One trace in one world. ``play()`` returns, or raises TraceFailedError."""

    def __init__(self, trace: Trace, world: World) -> None:
        self.story = Story(trace, world)
        self._sender = Sender(self.story)
        self._expecter = Expecter(self.story)
        self._exchanger = Exchanger(self.story, self._expecter, self._sender)
        self._step: Step | None = None

    def play(self) -> None:
        """Act out the whole trace."""
        story = self.story
        try:
            self._register()
            story.start = story.world.now
            story.harvest()
            story.begun = len(story.timeline)
            for step in story.trace.steps:
                self._step = step
                self._wait_for(step)
                if isinstance(step, Say):
                    self._exchanger.say(step)
                elif isinstance(step, Hear):
                    self._exchanger.hear(step)
                elif isinstance(step, Send):
                    self._sender.send(step)
                elif isinstance(step, Expect):
                    self._expecter.expect(step)
                elif isinstance(step, ExpectNothing):
                    self._expecter.expect_nothing(step)
                elif isinstance(step, Fault) and step.verb != "wait":
                    story.world.fault(step.verb, step.source, step.destination, step.count)
            if not story.trace.loose:
                self._expecter.leftovers()
        except (UnknownNameError, ValueError) as error:
            line = self._step.line if self._step is not None else story.trace.line
            raise TraceFailedError(line, str(error), story.trace.rfc) from None

    def _wait_for(self, step: Step) -> None:
        story = self.story
        if step.after is not None:
            due = story.world.now - story.start + step.after
        elif step.at is not None:
            due = step.at
        else:
            return
        if isinstance(step, Expect):
            # The expectation itself lets time run, to find out when the message comes.
            story.due = due
            return
        left = story.start + due - story.world.now
        if left > 0:
            story.world.run(left)

    def _register(self) -> None:
        story = self.story
        setup = story.trace.setup
        for one in setup.registrations:
            if kind_of(story.trace, one.endpoint):
                self._exchanger.register(one)
                continue
            party = story.world.parties[one.endpoint]
            aor = story.names.expand(one.aor) if one.aor else party.agent.aor
            transport = setup.endpoints[one.endpoint].transports[0]
            headers = [(name, story.names.expand(value)) for name, value in one.headers]
            if not any(header_key(name) == "contact" for name, _ in headers):
                headers.append(("Contact", f"<{party.agent.contact(transport)}>{one.contact_params}"))
            if not any(header_key(name) == "expires" for name, _ in headers):
                headers.append(("Expires", "3600"))
            names = {header_key(name) for name, _ in headers}
            user = next((user for user in setup.users if user.name == one.endpoint), None)
            if "to" not in names:
                headers.append(("To", f"<{aor}>"))
            if "from" not in names:
                headers.append(("From", f"<{aor}>;tag={party.agent.token()}"))
            domain = aor.rpartition("@")[2].partition(";")[0]
            story.registered[aor] = one.endpoint
            credentials: list[tuple[str, str]] = []
            for status in ("200",) if user is None else ("401", "200"):
                draft = party.agent.request(
                    "REGISTER", f"sip:{domain}", [*headers, *credentials], transport=transport
                )
                story.note_sent(one.endpoint, draft.to_bytes())
                party.send(draft.to_bytes(), transport=transport)
                came = self._expecter.find(party, status, story.world.patience + 2.0)
                if came is None:
                    seen = self._expecter.seen(party)
                    raise TraceFailedError(
                        one.line, f"setup: {one.endpoint} could not register {aor}: {seen}"
                    )
                self._expecter.take(party, came)
                if user is not None and status == "401":
                    line = Line("credentials", user.name, user.password, one.line)
                    credentials = self._sender.wallet.answer(line, party, "REGISTER", draft.uri, b"")

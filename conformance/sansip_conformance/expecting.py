"""The expectations of a trace: let time run until a message fits, or until the time for silence is over.

Theory of operation: copies of known messages and 100s are skipped unless a step asks for them. A
message that fits is compared (``comparing``); ``leftovers`` finds messages that no step expected.
"""

from __future__ import annotations

from collections.abc import Callable

from sansip.testing import Received, fits
from sansip.wire import Response
from sansip_conformance.comparing import asked_for, check_always, compare
from sansip_conformance.story import Named, Story, TraceFailedError
from sansip_conformance.stun import ANSWERS, is_stun_answer
from sansip_conformance.trace import Expect, ExpectNothing
from sansip_conformance.world import Party

__all__ = ["Expecter"]

Right = Callable[[Received], bool]


class Expecter:
    """Judges the expectations of one story."""

    def __init__(self, story: Story) -> None:
        self.story = story

    def expect(self, step: Expect) -> None:
        """Let time run until the message that ``step`` expects has come, and judge it."""
        came = self.arrived(step)
        if came is not None:
            self._judge(step, came)

    def arrived(self, step: Expect, right: Right | None = None) -> Received | None:
        """Return the message that ``step`` expects, None for one that need not come.

        It is the one for which ``right`` is true, without it the one of SIP. Raises TraceFailedError.
        """
        world = self.story.world
        party = world.parties[step.endpoint]
        due: float | None = None
        tolerance = self.story.tolerance
        if step.at is not None or step.after is not None:
            due = self.story.due
        if due is not None:
            # In a chain of timers each is a moment late, so a long chain is later than a short one.
            tolerance += world.drift * due
            wait = self.story.start + due - world.now + tolerance
        else:
            wait = step.within if step.within is not None else world.patience
        came = self.find(party, step.what, max(0.0, wait), step.again, right)
        if came is None:
            if step.or_nothing:
                came = next((one for one in party.inbox if not self._ignorable(party, one)), None)
                if came is None:
                    return None
            elif step.optional:
                return None
            when = "" if due is None else f" at {due:g} s"
            again = " again" if step.again else ""
            raise self.story.failure(
                step, f"{step.endpoint} expected {_shown(step.what)}{again}{when}; {self.seen(party)}"
            )
        self.take(party, came)
        if due is not None and abs(came.time - self.story.start - due) > tolerance:
            late = f"{came.time - self.story.start:.3f} s instead of {due:g} s"
            raise self.story.failure(step, f"{step.what} came to {step.endpoint} at {late}")
        return came

    def _judge(self, step: Expect, came: Received) -> None:
        party = self.story.world.parties[step.endpoint]
        if step.transport is not None and came.transport != step.transport:
            raise self.story.failure(
                step, f"{step.what} came over {came.transport} instead of {step.transport}"
            )
        message = came.message
        if message is None:
            return
        if came.fault and not asked_for(self.story, party, message):
            raise self.story.failure(step, f"{came.what} is malformed: {came.fault}")
        if not step.again and not came.fault:
            check_always(self.story, step, party, message)
        compare(self.story, step, message)
        if step.name is not None:
            self.story.name(
                step.name, Named(message, step.endpoint, came, came.data, came.transport, came.pipe)
            )

    def find(
        self, party: Party, what: str, wait: float, again: bool = False, right: Right | None = None
    ) -> Received | None:
        """Return the message that fits ``what`` and no step took, letting up to ``wait`` seconds pass."""
        found: list[Received] = []
        taken = self.story.taken[party.name]
        known = self.story.known[party.name]

        def look() -> bool:
            for one in party.inbox:
                if id(one) in taken:
                    continue
                if right is not None:
                    is_right = right(one)
                elif what == "close":
                    is_right = not one.data
                elif what == "pong":
                    is_right = one.data == b"\r\n"
                elif what in ANSWERS:
                    is_right = is_stun_answer(one.data, what, party.host, party.port)
                else:
                    is_right = fits(one.message, what) and (one.data in known) == again
                if is_right:
                    found.append(one)
                    return True
            return False

        self.story.world.run(wait, look)
        return found[0] if found else None

    def take(self, party: Party, one: Received) -> None:
        """Take ``one``, so that it meets no other expectation."""
        self.story.taken[party.name].add(id(one))
        if one.data:
            self.story.known[party.name].add(one.data)

    def _ignorable(self, party: Party, one: Received) -> bool:
        if id(one) in self.story.taken[party.name]:
            return True
        if isinstance(one.message, Response) and one.message.status == 100:
            return True
        return one.data in self.story.known[party.name] or one.data in (b"", b"\r\n")

    def seen(self, party: Party) -> str:
        """Return the messages to ``party`` that no step took, for reports."""
        seen = []
        for one in party.inbox:
            if not self._ignorable(party, one):
                message = one.message
                text = one.what
                if isinstance(message, Response):
                    text = f"{message.status} {message.reason}"
                seen.append(f"{text} at {one.time - self.story.start:.3f} s")
        return "got " + ", ".join(seen) if seen else "nothing came"

    def expect_nothing(self, step: ExpectNothing) -> None:
        """Let time run, and check that nothing comes."""
        world = self.story.world
        began = world.now
        if step.until is not None:
            wait = self.story.start + step.until - world.now
        else:
            wait = step.duration or 0.0
        parties = [world.parties[name] for name in step.endpoints]

        def came() -> tuple[Party, Received] | None:
            for party in parties:
                for one in party.inbox:
                    if id(one) in self.story.taken[party.name]:
                        continue
                    if one.time > began + self.story.tolerance or not self._ignorable(party, one):
                        return party, one
            return None

        # A wait of zero seconds still lets messages on their way arrive.
        world.run(max(wait - self.story.tolerance, 0.0), lambda: came() is not None)
        found = came()
        if found is not None:
            party, one = found
            raise self.story.failure(
                step,
                f"{party.name} expected nothing, and got {one.what} at {one.time - self.story.start:.3f} s",
            )

    def leftovers(self) -> None:
        """Check that no message has come that no step expected."""
        self.story.world.run(0.0)
        for party in self.story.world.parties.values():
            for one in party.inbox:
                if not self._ignorable(party, one):
                    raise TraceFailedError(
                        self.story.trace.steps[-1].line,
                        f"no step expects {one.what} to {party.name} at {one.time - self.story.start:.3f} s",
                        self.story.trace.rfc,
                    )


def _shown(what: str) -> str:
    """Return the alternatives, as many as a person wants to read."""
    return what if what.count("|") < 8 else f"one of {what.count('|') + 1} statuses"

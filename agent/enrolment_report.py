"""What a person reads who watches a box enrol: every verdict in one line, ours first, then the service's."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.wire.certificates import Verdict

EXPLAINED = {
    "claim_found": "a claim lies on this box",
    "serial_found": "this box knows which one it is",
    "key": "there is a key and a request; the key stays here",
    "payload": "the service can read the request",
    "claim": "the service knows the claim, and it may let boxes in",
    "claim_not_expired": "the claim is not over",
    "token": "the one-time token is good, or none is wanted",
    "serial": "the serial number may enrol with this claim",
    "not_enrolled_yet": "no other box is enrolled under this name, or the old key has signed",
    "request_signature": "the request is signed by its own key",
    "name": "there is a name for this box",
    "signing": "the authority has signed",
    "keeping": "certificate and settings are written",
}


@dataclass(frozen=True, slots=True)
class Onlooker:
    """Somebody in front of a terminal."""

    say: Callable[[str], None]
    explains: bool = False
    """Whether steps that passed are told too."""

    def tell(self, verdict: Verdict) -> None:
        """Hear a verdict."""
        if not verdict.passed:
            self.say(f"refused  {verdict.step}: {verdict.reason}")
        elif self.explains:
            meaning = verdict.reason or EXPLAINED.get(verdict.step, "")
            self.say(f"passed   {verdict.step}: {meaning}")

    def show(self, line: str) -> None:
        """Hear what enrolment waits for."""
        self.say(f"         {line}")

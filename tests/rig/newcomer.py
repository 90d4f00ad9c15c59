"""A box without a name, in this process: what `promptd run` does before there is an agent."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from agent.identity.claim import find_claim
from agent.identity.enrol import Surroundings, enrol
from agent.identity.pair import Pair, Pairs
from agent.identity.rests import Rests
from agent.settings import Settings
from agent.settings_file import load, load_own, provision
from agent.wire.certificates import Verdict
from rig.plant import Plant

BRISK = Rests(unanswered_s=2.0, longest_unanswered_s=4.0, refused_s=1.0, longest_refused_s=1.0)
PATIENCE_S = 30.0
Told = TypeVar("Told")


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for a condition that nobody announces, such as the end of a certificate."""
    end_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end_s, "it did not come true"
        threading.Event().wait(0.05)


class Newcomer:
    """Installed like all boxes of its batch."""

    def __init__(self, plant: Plant, serial: str, token: str = "", folder: str = "") -> None:
        self.folder = plant.folder / (folder or f"newcomer-{serial}")
        self.folder.mkdir()
        self.config = self.folder / "promptd.toml"
        self.verdicts: list[Verdict] = []
        self.shown: list[str] = []
        self.keep: Callable[[str], Settings] = self.keep_settings
        """A test may let it fail."""
        self._news = threading.Condition()
        (self.folder / "token").write_text(token)
        self.config.write_text(
            f'state_dir = "{self.folder}/state"\n'
            f'[broker]\nurl = "{plant.url}"\nca_file = "{plant.ca_file}"\n'
            f'[identity]\nclaim_cert_file = "{plant.claim}/cert.pem"\n'
            f'claim_key_file = "{plant.claim}/key.pem"\n'
            f'token_file = "{self.folder}/token"\nserial = "{serial}"\n'
        )

    @property
    def identity_dir(self) -> Path:
        return load_own(self.config).identity_dir

    @property
    def pairs(self) -> Pairs:
        return Pairs(self.identity_dir)

    def settings(self) -> Settings:
        """Return what the agent would start with."""
        return load(self.config)

    def keep_settings(self, text: str) -> Settings:
        return provision(text, self.config)

    def enrol(self, *, gives_up: bool = True) -> Pair:
        """Enrol; fail at the first refusal that a person must mend, unless it shall go on."""
        own = load_own(self.config)
        claim = find_claim(own.identity, None)
        assert claim
        around = Surroundings(
            keep_settings=lambda text: self.keep(text),  # noqa: PLW0108 -- a test may change it on the way
            tell=lambda verdict: self._hear(self.verdicts, verdict),
            show=lambda line: self._hear(self.shown, line),
            rests=BRISK,
            gives_up=gives_up,
        )
        return enrol(own, self.pairs, claim, around)

    def enrol_aside(self, *, gives_up: bool = False) -> threading.Thread:
        """Enrol on a thread of its own, which a test joins."""
        thread = threading.Thread(target=self.enrol, kwargs={"gives_up": gives_up}, daemon=True)
        thread.start()
        return thread

    def wait_until_told(self, words: str) -> None:
        """Wait for a refusal, or a line of the state, with these words."""

        def is_told() -> bool:
            return any(words in text for text in [*self.shown, *(each.reason for each in self.verdicts)])

        with self._news:
            assert self._news.wait_for(is_told, PATIENCE_S), f"only this was told: {self.shown}"

    def _hear(self, those: list[Told], told: Told) -> None:
        with self._news:
            those.append(told)
            self._news.notify_all()

"""A box without a name, in this process: what `promptd run` does before there is an agent."""

from agent.identity.claim import find_claim
from agent.identity.enrol import Surroundings, enrol
from agent.identity.pair import Pair, Pairs
from agent.identity.rests import Rests
from agent.settings import Settings
from agent.settings_file import load, load_own, provision
from agent.wire.certificates import Verdict
from rig.plant import Plant

BRISK = Rests(unanswered_s=2.0, longest_unanswered_s=4.0, refused_s=1.0, longest_refused_s=1.0)


class Newcomer:
    """Installed like all boxes of its batch."""

    def __init__(self, plant: Plant, serial: str, token: str = "", folder: str = "") -> None:
        self.folder = plant.folder / (folder or f"newcomer-{serial}")
        self.folder.mkdir()
        self.config = self.folder / "promptd.toml"
        self.verdicts: list[Verdict] = []
        self.shown: list[str] = []
        (self.folder / "token").write_text(token)
        self.config.write_text(
            f'state_dir = "{self.folder}/state"\n'
            f'[broker]\nurl = "{plant.url}"\nca_file = "{plant.ca_file}"\n'
            f'[identity]\nclaim_cert_file = "{plant.claim}/cert.pem"\n'
            f'claim_key_file = "{plant.claim}/key.pem"\n'
            f'token_file = "{self.folder}/token"\nserial = "{serial}"\n'
        )

    @property
    def pairs(self) -> Pairs:
        return Pairs(load_own(self.config).identity_dir)

    def settings(self) -> Settings:
        """Return what the agent would start with."""
        return load(self.config)

    def enrol(self, *, gives_up: bool = True) -> Pair:
        """Enrol; fail at the first refusal that a person must mend."""
        own = load_own(self.config)
        claim = find_claim(own.identity, None)
        assert claim
        around = Surroundings(
            keep_settings=lambda text: provision(text, self.config),
            tell=self.verdicts.append,
            show=self.shown.append,
            rests=BRISK,
            gives_up=gives_up,
        )
        return enrol(own, self.pairs, claim, around)

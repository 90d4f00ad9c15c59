"""What lies on a box that may enrol: found where the settings or systemd say, and judged before use."""

from pathlib import Path

import pytest
from rig.authority import Authority

from agent.identity.claim import CERTIFICATE, KEY, TOKEN, Claim, find_claim
from agent.settings import BrokerSettings, IdentitySettings
from agent.wire.errors import ConfigError
from provisioning.roles import Role

NAME = "claim-line-7"


@pytest.fixture(scope="module")
def files(authority: Authority) -> tuple[Path, Path]:
    """Return certificate and key of a claim."""
    authority.member(NAME, Role.CLAIM)
    return authority.path(f"{NAME}.pem"), authority.path(f"{NAME}.key")


@pytest.fixture
def credentials(tmp_path: Path, files: tuple[Path, Path]) -> Path:
    """Return a folder as systemd fills it."""
    for source, name in zip(files, (CERTIFICATE, KEY), strict=True):
        (tmp_path / name).write_bytes(source.read_bytes())
    (tmp_path / TOKEN).write_text("a-token\n")
    return tmp_path


def test_the_claim_among_systemds_credentials_is_found(credentials: Path) -> None:
    settings = IdentitySettings()

    claim = find_claim(settings, credentials)

    assert claim
    assert (claim.name, claim.token, claim.cert_file) == (NAME, "a-token", credentials / CERTIFICATE)


def test_what_the_settings_name_wins(files: tuple[Path, Path], tmp_path: Path) -> None:
    settings = IdentitySettings(claim_cert_file=files[0], claim_key_file=files[1])

    claim = find_claim(settings, tmp_path)

    assert claim
    assert (claim.cert_file, claim.token) == (files[0], "")


@pytest.mark.parametrize("folder", [None, Path("/nonexistent")])
def test_a_box_without_a_claim_has_none(folder: Path | None) -> None:
    claim = find_claim(IdentitySettings(), folder)

    assert claim is None


def test_a_certificate_that_is_no_claim_is_refused(authority: Authority) -> None:
    authority.member("box-1", Role.DEVICE)
    settings = IdentitySettings(
        claim_cert_file=authority.path("box-1.pem"), claim_key_file=authority.path("box-1.key")
    )

    with pytest.raises(ConfigError, match="'box-1' and no claim"):
        find_claim(settings, None)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [(CERTIFICATE, b"no PEM", "holds no certificate"), (TOKEN, b"\xff\xfe", "cannot be read as text")],
)
def test_a_claim_that_cannot_be_used_is_told_in_one_sentence(
    credentials: Path, name: str, content: bytes, words: str
) -> None:
    (credentials / name).write_bytes(content)

    with pytest.raises(ConfigError, match=words):
        find_claim(IdentitySettings(), credentials)


def test_half_a_claim_is_a_mistake(files: tuple[Path, Path]) -> None:
    settings = IdentitySettings(claim_cert_file=files[0])

    with pytest.raises(ConfigError, match="claim_key_file"):
        find_claim(settings, None)


def test_a_claim_is_only_shown_over_tls(credentials: Path) -> None:
    claim = find_claim(IdentitySettings(), credentials)
    assert isinstance(claim, Claim)

    with pytest.raises(ConfigError, match="mqtts://"):
        claim.broker(BrokerSettings(url="mqtt://broker.example"))


def test_the_claim_takes_the_place_of_every_other_login(credentials: Path) -> None:
    claim = find_claim(IdentitySettings(), credentials)
    assert claim

    settings = claim.broker(
        BrokerSettings(url="mqtts://broker.example", username="box", password_file=Path("x"))
    )

    assert (settings.username, settings.password_file, settings.cert_file) == ("", None, claim.cert_file)

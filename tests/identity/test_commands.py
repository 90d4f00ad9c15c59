"""`promptd identity` by hand: a key made here, a request that is carried away, a reply that comes back."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from rig.authority import Authority

from agent.identity.pair import Pairs
from agent.wire.certificates import CertificateReply, Verdict

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    config = tmp_path / "promptd.toml"
    config.write_text(f'device_id = "box-3"\nstate_dir = "{tmp_path}/state"\n[identity]\nserial = "S3"\n')

    def run(*words: str, sent: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agent.cli", "identity", *words, "--config", str(config)]
        return subprocess.run(command, input=sent, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "authority").mkdir()
    return Authority(tmp_path / "authority")


def reply_to(authority: Authority, request: str, name: str = "box-3", **fields: str) -> str:
    issued = authority.sign(request, name)
    reply = CertificateReply(
        accepted=True,
        certificate=issued.chain_pem,
        authorities=authority.signer.authorities,
        settings=fields.get("settings", 'device_id = "box-3"\n[telemetry]\ninterval_s = 3\n'),
    )
    return reply.model_dump_json()


def test_a_request_is_the_same_until_it_was_answered(run: Run) -> None:
    first, second = (run("request", "--name", "box-3").stdout for _ in range(2))

    assert x509.load_pem_x509_csr(first.encode()).subject.rfc4514_string() == "CN=box-3"
    assert first == second


def test_an_accepted_certificate_is_in_use_and_its_settings_hold(
    run: Run, authority: Authority, tmp_path: Path
) -> None:
    reply = reply_to(authority, run("request", "--name", "box-3").stdout)

    done = run("accept", "-", sent=reply)

    shown = json.loads(run("show", "--json").stdout)
    assert (done.returncode, shown["certificate"], shown["serial"], shown["is_valid"]) == (
        0,
        "box-3",
        "S3",
        True,
    )
    assert "interval_s = 3" in (tmp_path / "state/provisioned.toml").read_text()


def test_a_box_without_a_certificate_still_shows_its_serial(run: Run) -> None:
    shown = json.loads(run("show", "--json").stdout)

    assert shown == {"device_id": "box-3", "serial": "S3", "certificate": None}


def test_a_certificate_for_another_key_is_refused_and_nothing_changes(
    run: Run, authority: Authority, tmp_path: Path
) -> None:
    run("request", "--name", "box-3")
    other = tmp_path / "other"
    foreign = authority.enrol(other, "box-3")
    reply = CertificateReply(
        accepted=True,
        certificate=foreign.cert_file.read_text(),
        authorities=authority.signer.authorities,
    )

    done = run("accept", "-", sent=reply.model_dump_json())

    assert (done.returncode, "made for another key" in done.stderr) == (1, True)
    assert Pairs(tmp_path / "state/identity").current is None


def test_a_certificate_under_another_name_is_refused(run: Run, authority: Authority, tmp_path: Path) -> None:
    reply = reply_to(authority, run("request", "--name", "box-9").stdout, "box-9", settings="")

    done = run("accept", "-", sent=reply)

    assert (done.returncode, "made for 'box-9'" in done.stderr) == (78, True)
    assert Pairs(tmp_path / "state/identity").current is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no reply", "is no reply of promptd-fleet"),
        (
            CertificateReply(
                accepted=False, verdicts=(Verdict(step="claim", passed=False, reason="the claim is over"),)
            ).model_dump_json(),
            "was refused: the claim is over",
        ),
    ],
)
def test_what_cannot_be_accepted_is_told_in_a_sentence(run: Run, text: str, words: str) -> None:
    done = run("accept", "-", sent=text)

    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr

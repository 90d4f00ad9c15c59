"""The commands as an operator types them: exit codes, sentences, JSON for scripts."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from rig.farm import Farm

from agent.identity import pem

HERE = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

Run = Callable[..., subprocess.CompletedProcess[str]]
REST = """\
claims:
  line-7: {expires: 2099-01-31, limit: 10, group: presses, needs: token}
  gone: {expires: 2020-01-31, limit: 10}
clients:
  dashboard: {groups: [presses]}
"""


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    farm = Farm(tmp_path)
    farm.write({"box-1": {"serial": "S1", "address": "admin@10.0.0.17:2222"}, "box-2": {"address": ""}}, REST)
    return farm


@pytest.fixture
def run(farm: Farm) -> Run:
    def run(*words: str, sent: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "provisioning.cli", *words]
        return subprocess.run(
            command,
            cwd=farm.folder,
            env=HERE,
            input=sent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def applied(farm: Farm, run: Run) -> subprocess.CompletedProcess[str]:
    return run("apply", "--no-wait", "--root-passphrase-file", str(farm.passphrase))


def test_init_writes_an_example_that_check_takes_and_does_not_write_over_it(tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "provisioning.cli", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=HERE, capture_output=True, text=True, timeout=60, check=False
        )

    first, checked, second = run("init"), run("check"), run("init")

    assert (first.returncode, checked.returncode, second.returncode) == (0, 0, 78)
    assert "all is well" in checked.stdout
    assert "is there already" in second.stderr


def test_check_names_mistakes_by_line_for_people_and_for_scripts(farm: Farm, run: Run) -> None:
    farm.inventory.write_text("broker: {url: 'mqtts://x'}\ndevises: {}\n")

    people, scripts = run("check"), run("check", "--json")

    assert people.stderr == "promptd-fleet: fleet.yaml:2: devises: unknown key; did you mean devices?\n"
    assert (people.returncode, scripts.returncode) == (78, 78)
    assert [line["number"] for line in json.loads(scripts.stdout)] == [2]


def test_plan_shows_and_changes_nothing(farm: Farm, run: Run) -> None:
    first, second = run("plan", "--json"), run("plan", "--json")

    steps = json.loads(first.stdout)
    assert first.stdout == second.stdout
    assert {"kind": "install", "subject": "box-1", "why": "it was never set up"} in steps
    assert "claim-gone" not in {step["subject"] for step in steps}
    assert farm.calls() == []


def test_apply_does_it_and_then_there_is_nothing_left(
    applied: subprocess.CompletedProcess[str], run: Run
) -> None:
    again = run("apply", "--no-wait")

    assert applied.returncode == 0, applied.stderr
    assert json.loads(run("plan", "--json").stdout) == []
    assert (again.returncode, again.stderr) == (0, "0 steps done, 0 failed\n")


def test_apply_fails_with_a_sentence_for_each_device_that_failed(farm: Farm, run: Run) -> None:
    (farm.box("10.0.0.17")).mkdir(parents=True)
    (farm.box("10.0.0.17") / "away").touch()

    done = run("apply", "--no-wait", "--root-passphrase-file", str(farm.passphrase))

    assert done.returncode == 1
    assert "failed box-1: admin@10.0.0.17:2222 cannot be reached" in done.stderr
    assert "1 failed; mend what failed and run it again" in done.stderr


def test_an_authority_cannot_be_made_without_a_passphrase(farm: Farm, run: Run) -> None:
    done = run("apply")

    assert done.returncode != 0
    assert "there is no terminal to ask for the passphrase" in done.stderr
    assert not (farm.folder / "fleet/authority/root.pem").exists()


@pytest.mark.usefixtures("applied")
def test_devices_tells_how_long_certificates_last(run: Run) -> None:
    rows = {row["name"]: row for row in json.loads(run("devices", "--json").stdout)}

    assert rows["box-1"]["days_left"] == 364
    assert rows["box-2"]["certificate"] == "none"


@pytest.mark.usefixtures("applied")
def test_tokens_are_printed_once_and_a_claim_that_is_over_gets_none(run: Run) -> None:
    made, over, unknown = (
        run("token", "line-7", "--count", "3"),
        run("token", "gone"),
        run("token", "nothing"),
    )

    assert len(set(made.stdout.split())) == 3
    assert "was good until 2020-01-31" in over.stderr
    assert "it has line-7, gone" in unknown.stderr


@pytest.mark.usefixtures("applied")
def test_a_request_that_was_carried_here_is_signed(run: Run) -> None:
    request = pem.new_request(pem.new_key(), "box-2").decode()

    reply = json.loads(run("sign", "box-2", "-", sent=request).stdout)

    signed = x509.load_pem_x509_certificate(reply["certificate"].encode())
    assert signed.subject.rfc4514_string() == "CN=box-2"
    assert 'device_id = "box-2"' in reply["settings"]


@pytest.mark.usefixtures("applied")
def test_a_request_for_another_name_is_refused(run: Run) -> None:
    request = pem.new_request(pem.new_key(), "box-1").decode()

    done = run("sign", "box-2", "-", sent=request)

    assert "made for 'box-1', not for box-2" in done.stderr


@pytest.mark.usefixtures("applied")
def test_revoke_takes_a_device_out_and_the_log_says_who_did_it(run: Run) -> None:
    done = run("revoke", "box-1", "--reason", "stolen")

    rows = json.loads(run("devices", "--json").stdout)
    last = [
        each
        for each in json.loads(run("audit", "show", "box-1", "--json").stdout)
        if each["action"] == "revoke"
    ]
    assert (done.returncode, [row["name"] for row in rows]) == (0, ["box-2"])
    assert [each["details"] for each in last] == [{"reason": "stolen"}]
    assert "none changed" in run("audit", "verify").stdout


@pytest.mark.usefixtures("applied")
def test_audit_verify_fails_on_a_log_that_was_changed(farm: Farm, run: Run) -> None:
    log = farm.folder / "fleet/audit.jsonl"
    log.write_text(log.read_text().replace("box-1", "box-7", 1))

    done = run("audit", "verify")

    assert (done.returncode, "the audit log is broken" in done.stderr) == (1, True)


@pytest.mark.usefixtures("applied")
def test_a_bundle_brings_promptd_too(farm: Farm, run: Run) -> None:
    done = run("bundle", "box-2", "--to", "carried.tar.gz")

    listed = subprocess.run(
        ["tar", "-tzf", "carried.tar.gz"], cwd=farm.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == "carried.tar.gz\n"
    assert {"claim.pem", "claim.key", "token", next(farm.dist.iterdir()).name} < set(listed.stdout.split())


@pytest.mark.usefixtures("applied")
def test_a_person_is_asked_for_the_passphrase_before_anything_is_drawn(farm: Farm) -> None:
    farm.inventory.write_text(farm.inventory.read_text().replace(", passphrase_file: ../../passphrase", ""))
    command = [sys.executable, "-m", "provisioning.cli", "apply", "--no-wait", "--again", "box-1"]
    ours, terminal = os.openpty()

    child = subprocess.Popen(
        command,
        cwd=farm.folder,
        env=HERE,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    asked = said_until(ours, b"Passphrase of the issuing authority: ")
    os.write(ours, farm.passphrase.read_bytes() + b"\n")
    rest = said_until(ours, b" failed")

    assert child.wait(60) == 0
    assert (b"devices" in asked, b"devices" in rest) == (False, True)
    os.close(ours)


def said_until(terminal: int, words: bytes) -> bytes:
    """Return what a terminal shows, up to these words."""
    said = b""
    while words not in said:
        said += os.read(terminal, 1024)
    return said


@pytest.mark.usefixtures("applied")
def test_ansible_gets_the_hosts_with_an_address_and_their_settings(run: Run) -> None:
    hosts = json.loads(run("ansible").stdout)["all"]["children"]["presses"]["hosts"]

    assert hosts.keys() == {"box-1"}
    assert (hosts["box-1"]["ansible_host"], hosts["box-1"]["ansible_port"]) == ("10.0.0.17", 2222)
    assert 'device_id = "box-1"' in hosts["box-1"]["promptd_settings"]


@pytest.mark.usefixtures("applied")
def test_ansible_brings_whom_to_trust_and_a_claim_to_who_has_no_certificate(farm: Farm, run: Run) -> None:
    farm.write({"box-1": {"serial": "S1"}, "box-3": {"serial": "S3"}}, REST)

    whole = json.loads(run("ansible").stdout)["all"]

    hosts = whole["children"]["presses"]["hosts"]
    claim = farm.folder / "fleet" / "claims" / "line-7"
    assert whole["vars"] == {"promptd_ca_file": str(farm.folder / "fleet" / "authorities.pem")}
    assert hosts["box-3"]["promptd_claim_certificate"] == str(claim / "claim.pem")
    assert hosts["box-3"]["promptd_claim_key"] == str(claim / "claim.key")
    assert (farm.folder / "fleet" / "authorities.pem").is_file()
    assert (claim / "claim.key").is_file()
    assert "promptd_claim_key" not in hosts["box-1"]


def test_ansible_is_told_to_apply_first_when_there_is_nobody_to_trust(run: Run) -> None:
    done = run("ansible")

    assert (done.returncode, done.stdout) == (78, "")
    assert "run promptd-fleet apply first" in done.stderr


@pytest.mark.usefixtures("applied")
def test_every_variable_for_ansible_is_one_that_the_role_knows(farm: Farm, run: Run) -> None:
    role = Path(__file__).parents[2] / "provisioning/ansible/roles/promptd/defaults/main.yml"
    known = {line.partition(":")[0] for line in role.read_text().splitlines() if line.startswith("promptd_")}
    farm.write({"box-3": {"serial": "S3"}}, REST)

    whole = json.loads(run("ansible").stdout)["all"]

    host = whole["children"]["presses"]["hosts"]["box-3"]
    assert {name for name in {*whole["vars"], *host} if name.startswith("promptd_")} <= known


def test_every_command_has_an_example(run: Run) -> None:
    names = ("init", "check", "plan", "apply", "devices", "bundle", "sign", "token", "revoke", "ansible")

    pages = {name: run(name, "--help").stdout for name in names}

    assert [name for name, page in pages.items() if f"promptd-fleet {name}" not in page] == []

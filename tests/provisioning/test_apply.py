"""`apply`: does what the plan says, goes on where it was stopped, and does nothing twice."""

import os
import subprocess
import tarfile
from collections import Counter

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rig.applying import KILLED, Apply, Plan, apply_and_die, apply_to
from rig.farm import Farm
from rig.requests import new_key, pem_of, request_of

from provisioning.authority.registrar import Registrar
from provisioning.facts import BEGUN, STARTED
from provisioning.fleet import open_fleet
from provisioning.inventory_file import InventoryError
from provisioning.plan import Kind
from provisioning.registry_rows import token_digest

FIFTY = {f"box-{number}": {"serial": f"S{number}"} for number in range(50)}
CLIENT = "clients:\n  dashboard: {groups: [presses]}\n"
CLAIM = "claims:\n  line-7: {expires: 2099-01-31, limit: 10, group: presses, needs: both}\n"


def fingerprint(certificate: x509.Certificate) -> bytes:
    """Return the public key, DER."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def registered(farm: Farm, holder: str) -> str:
    """Return the newest certificate that the registry knows of somebody, PEM."""
    with open_fleet(farm.inventory) as fleet:
        return fleet.registry.certificates(holder)[-1].pem


def audit_fault(farm: Farm) -> str:
    with open_fleet(farm.inventory) as fleet:
        return fleet.audit.verify().fault


def test_50_devices_have_certificates_of_their_own_and_three_more_runs_do_nothing(
    farm: Farm, apply: Apply, planned: Plan
) -> None:
    farm.write(FIFTY, CLIENT)

    first = apply()
    calls = len(farm.calls())
    more = [apply() for _ in range(3)]

    assert (first.failed, [run.done for run in more], planned()) == ([], [[], [], []], [])
    assert len(farm.calls()) == calls
    certificates = {name: x509.load_pem_x509_certificate(farm.certificate(name).encode()) for name in FIFTY}
    names = {name: each.subject.rfc4514_string() for name, each in certificates.items()}
    assert names == {name: f"CN={name}" for name in FIFTY}
    assert len({fingerprint(each) for each in certificates.values()}) == 50


def test_no_private_key_leaves_its_box(farm: Farm, apply: Apply) -> None:
    farm.write({"box-1": {}})

    apply()

    key = (farm.box("box-1") / "var/lib/promptd/identity/key.pem").read_text()
    kept = [file for file in (farm.folder / "fleet").rglob("*") if file.is_file()]
    assert not [file for file in kept if key.splitlines()[1].encode() in file.read_bytes()]


def test_a_device_that_is_away_stops_no_other_and_is_set_up_when_it_is_back(
    farm: Farm, apply: Apply, planned: Plan
) -> None:
    farm.write({f"box-{number}": {} for number in range(5)})
    farm.box("box-2").mkdir(parents=True)
    (farm.box("box-2") / "away").touch()

    first = apply()
    (farm.box("box-2") / "away").unlink()
    second = apply()

    assert [(each.step.subject, each.step.kind) for each in first.failed] == [("box-2", Kind.INSTALL)]
    assert "No route to host" in first.failed[0].reason
    assert [(step.subject, step.kind) for step in second.done] == [
        ("box-2", Kind.INSTALL),
        ("box-2", Kind.CERTIFY),
        ("box-2", Kind.START),
    ]
    assert planned() == []


def test_a_box_that_did_not_become_ready_is_started_again_by_the_next_run(
    farm: Farm, apply: Apply, planned: Plan
) -> None:
    farm.write({"box-1": {}})
    apply()
    with open_fleet(farm.inventory) as fleet:
        fleet.registry.mark("box-1", STARTED, BEGUN)

    left = planned()
    apply()

    assert (left, planned()) == ([(Kind.START, "box-1")], [])


def test_runs_that_are_killed_again_and_again_come_to_an_end(farm: Farm, planned: Plan) -> None:
    devices = {"box-1": {}, "box-2": {}, "box-3": {"address": ""}}
    farm.write(devices, CLIENT + CLAIM.replace("both", "token"))
    codes: list[int] = []

    while 0 not in codes and len(codes) < 40:
        codes.append(apply_and_die(farm.folder, at=len(codes) % 5 + len(codes) // 5 + 3))

    assert codes[-1] == 0
    assert codes.count(KILLED) >= 4
    assert (planned(), audit_fault(farm)) == ([], "")
    assert [farm.certificate(name) for name in ("box-1", "box-2")] == [
        registered(farm, name) for name in ("box-1", "box-2")
    ]


@pytest.mark.parametrize("at", range(22))
def test_whatever_a_killed_run_leaves_one_more_run_completes(farm: Farm, planned: Plan, at: int) -> None:
    farm.write({"box-1": {}}, CLIENT)
    code = apply_and_die(farm.folder, at)

    outcome = apply_to(farm.folder)

    assert (code, outcome.failed) == (KILLED, [])
    assert (planned(), audit_fault(farm)) == ([], "")
    assert farm.certificate("box-1") == registered(farm, "box-1")


def test_two_boxes_with_one_serial_are_refused_before_anything_is_done(farm: Farm, apply: Apply) -> None:
    farm.write({"box-1": {"serial": "S1"}, "box-2": {"serial": "S1"}})

    with pytest.raises(InventoryError, match=r"devices\.box-2\.serial: is also the serial of box-1"):
        apply()

    assert farm.calls() == []


def test_a_serial_that_moved_to_another_name_is_refused_by_name(farm: Farm, apply: Apply) -> None:
    farm.write({"box-1": {"serial": "S1"}})
    apply()
    farm.write({"box-1": {}, "box-9": {"serial": "S1"}})

    outcome = apply()

    assert [(each.step.subject, each.step.kind) for each in outcome.failed] == [("box-9", Kind.REGISTER)]
    assert "belongs to box-1" in outcome.failed[0].reason


def test_changed_settings_are_brought_without_installing_again(
    farm: Farm, apply: Apply, planned: Plan
) -> None:
    farm.write({"box-1": {}, "box-2": {}})
    apply()
    farm.write({"box-1": {"settings": {"telemetry": {"interval_s": 1}}}, "box-2": {}})

    outcome = apply()

    assert [(step.kind, step.subject) for step in outcome.done] == [
        (Kind.INSTALL, "box-1"),
        (Kind.START, "box-1"),
    ]
    assert "interval_s = 1" in (farm.box("box-1") / "etc/promptd/promptd.toml").read_text()
    assert (farm.box("box-1") / "installs").read_text().split() == ["installed"]
    assert planned() == []


def test_where_no_bundle_lies_here_nothing_is_taken_back(farm: Farm, apply: Apply, planned: Plan) -> None:
    farm.write({"box-1": {}})
    apply()
    bundle = next(farm.dist.iterdir())
    aside = bundle.rename(farm.folder / bundle.name)

    without = planned()
    farm.write({"box-1": {"settings": {"telemetry": {"interval_s": 9}}}})
    apply()
    aside.rename(bundle)

    assert (without, planned()) == ([], [])


def test_a_new_install_bundle_is_brought_to_every_device(farm: Farm, apply: Apply) -> None:
    farm.write({"box-1": {}, "box-2": {}})
    apply()
    farm.build("2")

    outcome = apply()

    assert Counter(step.kind for step in outcome.done) == {Kind.INSTALL: 2, Kind.START: 2}
    assert (farm.box("box-1") / "installs").read_text().split() == ["installed", "installed"]


def test_a_broker_with_another_name_gets_another_certificate(farm: Farm, apply: Apply) -> None:
    farm.write({})
    apply()
    text = farm.inventory.read_text()
    farm.inventory.write_text(text.replace("{url:", "{names: [broker.plant], url:"))

    outcome = apply()

    assert [step.kind for step in outcome.done] == [Kind.CERTIFICATE, Kind.BROKER]
    written = x509.load_pem_x509_certificate((farm.folder / "fleet/broker/cert.pem").read_bytes())
    names = written.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["broker.plant"]


def test_a_lost_client_key_is_made_anew(farm: Farm, apply: Apply) -> None:
    farm.write({}, CLIENT.replace("groups: [presses]", "all: true"))
    apply()
    (farm.folder / "fleet/clients/dashboard/key.pem").unlink()

    outcome = apply()

    assert [(step.kind, step.subject) for step in outcome.done] == [(Kind.CERTIFICATE, "dashboard")]


def test_a_box_without_an_address_gets_another_bundle_when_its_settings_change(
    farm: Farm, apply: Apply, planned: Plan
) -> None:
    farm.write({"box-1": {"address": ""}})
    apply()
    with open_fleet(farm.inventory) as fleet:
        Registrar(fleet).certify("box-1", pem_of(request_of(new_key())))
    before = planned()

    farm.write({"box-1": {"address": "", "settings": {"engine": {"slots": 2}}}})

    assert (before, planned()) == ([], [(Kind.BUNDLE, "box-1")])


def test_a_bundle_to_carry_holds_a_claim_a_token_and_settings_and_sets_a_box_up(
    farm: Farm, apply: Apply
) -> None:
    farm.write({"box-1": {"address": "", "serial": "S1"}}, CLAIM)
    apply()
    bare, root = farm.folder / "unpacked", farm.folder / "bare"
    bare.mkdir()
    with tarfile.open(farm.folder / "fleet/bundles/box-1.tar.gz") as file:
        file.extractall(bare, filter="data")
    subprocess.run(["tar", "-xzf", next(farm.dist.iterdir()), "-C", bare, "--strip-components=1"], check=True)
    environment = os.environ | {"BOX_ROOT": str(root), "PATH": f"{farm.boxes}/bin:{os.environ['PATH']}"}
    root.mkdir()
    subprocess.run(["sh", bare / "install.sh"], check=True, env=environment)

    subprocess.run(["sh", bare / "provision.sh"], check=True, env=environment)

    there = {str(file.relative_to(root)): file.stat().st_mode & 0o777 for file in (root / "etc").rglob("*.*")}
    assert there == {
        "etc/promptd/ca.pem": 0o644,
        "etc/promptd/promptd.toml": 0o640,
        "etc/promptd/credentials/claim.pem": 0o600,
        "etc/promptd/credentials/claim.key": 0o600,
    }
    token = (root / "etc/promptd/credentials/token").read_text()
    with open_fleet(farm.inventory) as fleet:
        assert [each.digest for each in fleet.registry.tokens("line-7")] == [token_digest(token)]
    assert (root / "systemctl").read_text() == "restart promptd\n"


def test_a_box_without_promptd_is_told_what_is_missing(farm: Farm, apply: Apply) -> None:
    farm.write({"box-1": {}})
    next(farm.dist.iterdir()).unlink()

    outcome = apply()

    assert "build one: make bundle" in outcome.failed[0].reason

"""Who is no longer to belong to the fleet, and how he comes back."""

import subprocess
import sys

import pytest
from cryptography import x509
from rig.applying import Apply, Plan
from rig.farm import Farm
from rig.requests import new_key, pem_of, request_of

from agent.wire.errors import AgentError
from provisioning.apply import Quiet
from provisioning.authority.registrar import Registrar
from provisioning.broker.cut_off import cut_off
from provisioning.facts import look
from provisioning.fleet import open_fleet
from provisioning.plan import Kind, plan

CLIENT = "clients:\n  dashboard: {groups: [presses]}\n"


class Revoker(Quiet):
    """Revokes a device, as another operator would, when it hears these words of it."""

    def __init__(self, farm: Farm, device: str, words: str) -> None:
        self._farm, self._device, self._words = farm, device, words

    def begun(self, subject: str, words: str) -> None:
        if (subject, words) == (self._device, self._words):
            with open_fleet(self._farm.inventory, actor="another") as fleet:
                Registrar(fleet).revoke(self._device, "stolen")


@pytest.mark.parametrize(
    "words", ["installing", "making its key", "signing its request", "bringing its certificate"]
)
def test_a_device_that_is_revoked_while_it_is_certified_stays_out(
    farm: Farm, apply: Apply, words: str
) -> None:
    farm.write({"box-1": {}, "box-2": {}})

    outcome = apply(watch=Revoker(farm, "box-1", words))

    assert ["was revoked meanwhile" in each.reason for each in outcome.failed] == [True]
    with open_fleet(farm.inventory) as fleet:
        assert fleet.registry.good_certificate("box-1") is None
        assert fleet.registry.good_certificate("box-2") is not None


def test_a_device_that_is_revoked_before_it_is_registered_anew_stays_out(farm: Farm, apply: Apply) -> None:
    farm.write({"box-1": {}})
    apply()
    farm.write({"box-1": {"group": "presses", "serial": "S1"}})

    outcome = apply(watch=Revoker(farm, "box-1", "register"))

    assert "was revoked meanwhile" in outcome.failed[0].reason
    with open_fleet(farm.inventory) as fleet:
        assert fleet.registry.good_certificate("box-1") is None
        assert fleet.registry.devices() == ()


def test_a_revocation_that_the_broker_is_not_told_is_told_to_the_operator(farm: Farm, apply: Apply) -> None:
    farm.write({"box-1": {}})
    apply()
    rules = farm.folder / "fleet/broker/acl"
    rules.unlink()
    rules.mkdir()

    with open_fleet(farm.inventory) as fleet:
        registrar = Registrar(fleet)
        registrar.revoke("box-1", "stolen")
        with pytest.raises(AgentError, match="the broker does not know: cannot write"):
            cut_off(fleet, registrar)


def test_a_revoked_box_that_a_claim_lets_in_comes_back_by_readmit(farm: Farm, apply: Apply) -> None:
    claim = "claims:\n  line-7: {expires: 2099-01-31, limit: 10, needs: both}\n"
    farm.write({"box-1": {"address": "", "serial": "S1"}, "box-2": {"address": ""}}, claim)
    apply()

    with open_fleet(farm.inventory) as fleet:
        for name in ("box-1", "box-2"):
            Registrar(fleet).certify(name, pem_of(request_of(new_key(), name)))
            Registrar(fleet).revoke(name, "stolen")
        steps = plan(fleet.inventory, look(fleet, farm.dist))

    advice = {step.subject: step.why for step in steps if step.kind is Kind.LOOK}
    assert ("readmit box-1" in advice["box-1"], "apply --again box-2" in advice["box-2"]) == (True, True)


def leave_it_to_others(farm: Farm) -> None:
    text = farm.inventory.read_text()
    farm.inventory.write_text(text.replace("ssh: {", "ssh: {installs: false, "))


def test_boxes_that_something_else_installs_are_registered_and_left_alone(
    farm: Farm, apply: Apply, planned: Plan
) -> None:
    farm.write({"box-1": {"serial": "S1"}})
    leave_it_to_others(farm)

    apply()

    assert (planned(), farm.calls()) == ([], [])
    with open_fleet(farm.inventory) as fleet:
        assert fleet.registry.device("box-1")


def test_a_revoked_box_that_something_else_installs_comes_back_by_readmit(farm: Farm, apply: Apply) -> None:
    farm.write({"box-1": {}})
    apply()
    with open_fleet(farm.inventory) as fleet:
        Registrar(fleet).revoke("box-1", "stolen")
    leave_it_to_others(farm)
    command = [sys.executable, "-m", "provisioning.cli"]

    plan, again = (
        subprocess.run([*command, *words], cwd=farm.folder, capture_output=True, text=True, check=False)
        for words in (("plan", "--json"), ("apply", "--again", "box-1"))
    )

    assert "readmit box-1" in plan.stdout
    assert (again.returncode, "promptd-fleet readmit box-1" in again.stderr) == (78, True)


def test_a_device_that_left_is_shown_and_revoked_only_when_asked(
    farm: Farm, apply: Apply, planned: Plan
) -> None:
    farm.write({"box-1": {}, "box-2": {}})
    apply()
    farm.write({"box-1": {}})

    plain, asked = planned(), planned(revoke=True)
    apply()
    later = planned()
    outcome = apply(revoke=True)

    assert plain == [(Kind.REMOVE, "box-2"), (Kind.BROKER, "the broker"), (Kind.LOOK, "box-2")]
    assert (Kind.REVOKE, "box-2") in asked
    assert later == [(Kind.LOOK, "box-2")]
    assert [step.kind for step in outcome.done] == [Kind.REVOKE, Kind.REVOCATIONS, Kind.BROKER]
    listed = x509.load_pem_x509_crl((farm.folder / "fleet/broker/crl.pem").read_bytes())
    assert len(list(listed)) == 1
    assert "user box-2\ntopic deny promptd/v1/#" in (farm.folder / "fleet/broker/acl").read_text()


def test_a_revoked_device_gets_a_new_certificate_only_when_it_is_named(
    farm: Farm, apply: Apply, planned: Plan
) -> None:
    farm.write({"box-1": {}})
    apply()
    with open_fleet(farm.inventory) as fleet:
        Registrar(fleet).revoke("box-1", "stolen")

    without = apply()
    still = planned()
    apply(again="box-1")

    assert Kind.CERTIFY not in [step.kind for step in without.done]
    assert (Kind.LOOK, "box-1") in still
    assert planned() == []


def test_a_revoked_device_is_let_in_before_it_is_started(farm: Farm, apply: Apply) -> None:
    farm.write({"box-1": {}}, CLIENT)
    apply()
    with open_fleet(farm.inventory) as fleet:
        Registrar(fleet).revoke("box-1", "stolen")
    apply()
    rules = farm.folder / "fleet/broker/acl"
    before = rules.read_text()

    apply(again="box-1")

    assert "user box-1\ntopic deny" in before
    assert "user box-1\ntopic write promptd/v1/client/dashboard/response/#" in rules.read_text()
    assert (farm.box("box-1") / "systemctl").read_text().split("\n")[-3:-1] == [
        "stop promptd",
        "restart promptd",
    ]

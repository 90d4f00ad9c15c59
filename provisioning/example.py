"""The inventory that `promptd-fleet init` writes: everything that can be said, with what it means."""

EXAMPLE = """\
# The fleet. `promptd-fleet check` reads this file, `plan` shows what would change, `apply` does it.
# Keys, certificates, registry and audit log lie in the folder `fleet/` beside it: keep it secret, back it up.

broker:
  url: mqtts://broker.example:8883    # what devices connect to
  names: []                           # other names and addresses of the broker, for its certificate
  # kind: mosquitto                   # or emqx, hivemq: whose rules are written
  # address: root@broker.example      # its machine by SSH; without: this machine
  # folder: /etc/mosquitto/promptd    # where its files are brought to; without: they stay in fleet/broker/
  # reload: systemctl restart mosquitto

authority:
  kind: own                           # or files, command (step ca), est: see docs/fleet.md

settings:                             # of the agent, for every device; docs/operating.md lists them all
  telemetry: {interval_s: 10}

groups:                               # devices that are set alike
  presses:
    settings:
      engine: {model: demo}

devices:
  box-1:
    serial: "10000000a1b2c3d4"        # what `promptd identity show` says on the box
    group: presses
    # address: root@10.0.0.17         # with it, `apply` installs by SSH; without, it makes a bundle
    # settings: {engine: {slots: 2}}  # wins over group and fleet

claims: {}                            # batches of boxes that enrol themselves:
  # line-7:                           #   promptd-fleet token line-7 --count 50
  #   expires: 2027-01-31
  #   limit: 50
  #   name: box-{serial}
  #   group: presses
  #   needs: token                    # or serial (a device above lists it), or both

clients:                              # who may ask; each gets a certificate in fleet/clients/
  dashboard:
    groups: [presses]                 # or devices: [box-1], or all: true

schedule:                             # kept for roll-outs; nothing acts on it yet
  windows:
    nights: {days: [sat, sun], begin: "02:00", end: "05:00", zone: Europe/Berlin}
  waves:
    - {devices: [box-1], wait_h: 24}
    - {groups: [presses]}

ssh:
  parallel: 8                         # devices at once
  # installs: false                   # for Ansible: it sets the boxes up, and a claim lets them in
"""

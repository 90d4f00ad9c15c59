"""The commands of `promptd-fleet` by subject; `provisioning/cli.py` puts them together."""

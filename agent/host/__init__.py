"""The host around the process: systemd and log output."""

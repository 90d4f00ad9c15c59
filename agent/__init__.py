"""promptd: small language models on edge boxes, reachable over MQTT."""

__version__ = "0.1.0"

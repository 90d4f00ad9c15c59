"""The engines behind one batch-first contract; each foreign library has its owners.

Native libraries read some settings from the environment when they are loaded, so they stand here, before any
of them is imported.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
"""Only this, set early, stops the telemetry of onnxruntime-genai (its docs/Privacy.md)."""

os.environ.setdefault("GOMP_SPINCOUNT", "10000")
"""How often a thread of llama.cpp looks for its next piece of work before it sleeps.

The default of GCC's OpenMP looks for milliseconds, and takes from the thread that still works what two
hardware threads of one core share. Measured on such a machine, decode steps are a fifth shorter with this. An
operator's own value wins.
"""

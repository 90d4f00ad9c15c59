"""The engines behind one batch-first contract; each foreign library has its owners.

Native libraries read some settings from the environment when they are loaded, so they stand here, before any
of them is imported.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
"""Only this, set early, stops the telemetry of onnxruntime-genai (its docs/Privacy.md)."""

os.environ.setdefault("GOMP_SPINCOUNT", "10000")
"""How often a thread of llama.cpp looks for its next piece of work before it sleeps.

The default of GCC's OpenMP looks for milliseconds. On an idle box that makes no difference (within 2 %);
beside other work on the same cores, steps were about a fifth shorter with this. An operator's own value wins.
"""

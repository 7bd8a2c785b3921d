"""For tests: a fake OpenRouter on the loopback interface, in a process of its own.

`FakeOpenRouter` answers automatically from each request's JSON Schema and tools, or from a script
of steps. `python -m mbxai.testing --port 8787` runs it in the foreground;
`pytest_plugins = ["mbxai.testing.pytest_plugin"]` gives the fixture `fake_openrouter`.
`mbxai.testing.store_conformance` checks session stores.
"""

from mbxai.testing._fake import FakeOpenRouter, RecordedRequest
from mbxai.testing._steps import Auto, Drop, Failure, Match, Raw, Reply, Stall, Step

__all__ = [
    "Auto",
    "Drop",
    "Failure",
    "FakeOpenRouter",
    "Match",
    "Raw",
    "RecordedRequest",
    "Reply",
    "Stall",
    "Step",
]

"""The process that holds the model: llama.cpp's HTTP server behind our front.

Started as `python -m mbxai.local._engine` by `EngineProcess`; not meant to be started by hand. The
first line on standard input is its settings as JSON, the first line on standard output its address.
It ends when standard input ends, which it also does when the parent is killed.
"""

import json
import os
import select
import signal
import sys
import urllib.request
from typing import Any, cast

from mbxai.local._front import Front
from mbxai.local._requests import RequestRules

# Any in this file: the engine has no types of its own.

_PARENT_CHECK_SECONDS = 1.0
_PROMPT_CACHE_MIB = 256
_ERRORS_AND_WARNINGS = 2


def main() -> None:
    """Serve until the parent closes standard input or is gone."""
    # Ctrl-C in a terminal reaches the whole group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    announce = _own_stdout()
    settings = cast("dict[str, Any]", json.loads(sys.stdin.readline()))
    engine, has_llguidance = _started_engine(settings)
    address = str(engine.listening_address)
    is_constrained = settings["tool_mode"] == "constrained" or (
        settings["tool_mode"] is None and not _knows_tools(address, settings["key"])
    )
    rules = RequestRules(
        is_constrained=is_constrained,
        has_llguidance=has_llguidance,
        temperature=settings["temperature"],
        max_tokens=settings["max_tokens"],
        context_tokens=settings["context_tokens"],
    )
    front = Front(upstream=address, key=settings["key"], rules=rules)
    front.start()
    mode = "constrained" if is_constrained else "native"
    os.write(announce, json.dumps({"port": front.port, "tool_mode": mode}).encode() + b"\n")
    _wait_for_the_end(parent)
    # Not an ordinary exit: the engine's threads may be in the middle of an answer nobody wants.
    os._exit(0)


def _own_stdout() -> int:
    """Keep standard output for the one line, whatever the engine prints."""
    announce = os.dup(1)
    os.dup2(2, 1)
    return announce


def _started_engine(settings: dict[str, Any]) -> tuple[Any, bool]:
    # An extra, and without types.
    import xllamacpp  # pyright: ignore[reportMissingTypeStubs]

    llama = cast("Any", xllamacpp)
    params = llama.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["alias"]}
    params.n_ctx = settings["context_tokens"] * settings["slots"]
    params.n_parallel = settings["slots"]
    params.n_gpu_layers = 0
    params.fit_params = False
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["prompt_threads"]
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["key"]]
    params.n_threads_http = settings["slots"] + 2
    params.ui = False
    params.endpoint_slots = False
    params.offline = True
    params.verbosity = _ERRORS_AND_WARNINGS
    has_llguidance = "llguidance" in str(llama.json_schema_to_grammar({"type": "integer"}))
    try:
        return llama.Server(params), has_llguidance
    except RuntimeError as error:
        # The engine has written why; a traceback would only push that out of sight.
        sys.exit(str(error))


def _knows_tools(address: str, key: str) -> bool:
    request = urllib.request.Request(  # noqa: S310  # our own loopback address
        f"{address}/props", headers={"Authorization": f"Bearer {key}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # the same
        properties = cast("dict[str, Any]", json.load(answer))
    caps = cast("dict[str, Any]", properties.get("chat_template_caps") or {})
    return bool(caps.get("supports_tools"))


def _wait_for_the_end(parent: int) -> None:
    # A process that the parent forked may hold the pipe open, so the parent is watched too.
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], _PARENT_CHECK_SECONDS)
        if readable and not os.read(0, 4096):
            return


if __name__ == "__main__":
    main()

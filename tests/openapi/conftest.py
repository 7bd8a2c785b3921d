"""The published description, tried by schemathesis: `python -m nox -s openapi`."""

from importlib.util import find_spec

# Not one test that is skipped: the whole folder is another suite.
collect_ignore_glob = [] if find_spec("schemathesis") else ["test_*.py"]

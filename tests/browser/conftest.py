"""Tests in a real browser: `python -m nox -s browser`, which installs what they need.

Chromium is the machine's own, for example Debian's package `chromium`.
"""

from importlib.util import find_spec

# Not one test that is skipped: the whole folder is another suite.
collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]

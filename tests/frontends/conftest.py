"""Front ends from npm: `python -m nox -s frontends` installs them and runs these tests."""

import os

# Not one test that is skipped: the whole folder is another suite.
collect_ignore_glob = [] if os.environ.get("MBXAI_FRONTENDS") else ["test_*.py"]

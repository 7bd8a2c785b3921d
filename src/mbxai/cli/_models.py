"""`mbxai models`: the names that stand for models."""

import json
import sys

from mbxai.cli._exit_codes import DONE
from mbxai.openrouter.models import OpenRouterModelRegistry


def models(*, as_json: bool) -> int:
    """Write every model name with its slug; nothing is sent.

    Args:
        as_json: As one JSON object, slugs by name.

    Returns:
        The exit code.
    """
    known = OpenRouterModelRegistry.list_models()
    if as_json:
        text = json.dumps(known, indent=2)
    else:
        width = max(map(len, known))
        text = "\n".join(f"{name:<{width}}  {slug}" for name, slug in known.items())
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    return DONE

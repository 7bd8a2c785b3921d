"""Which view of a schema a model is shown; models of one family are shown the same."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from mbxai.tools.schema._google_view import google_view
from mbxai.tools.schema._provider_view import provider_view

Family: TypeAlias = Literal["general", "google"]
"""Models that take schemas of the same form."""


def family_of(model: str | None) -> Family:
    """Return the family of a model.

    Args:
        model: Its id, as in `google/gemini-3-pro:free` or `~google/gemini-flash-latest`; None is
            a model that is not known yet.
    """
    name = (model or "").strip().lower().removeprefix("~")
    return "google" if name.startswith("google/") else "general"


def plainest_of(models: Sequence[str | None]) -> str | None:
    """Return the model whose family takes the plainest schemas; all others take these as well.

    Args:
        models: Ids of the models that a request may go to.
    """
    for model in models:
        if family_of(model) == "google":
            return model
    return next(iter(models), None)


def view_for(model: str | None, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a schema of a tool's arguments, in the form that a model takes.

    Args:
        model: Its id; None is a model that is not known yet.
        schema: Any JSON Schema; it is not changed.
    """
    return google_view(schema) if family_of(model) == "google" else provider_view(schema)

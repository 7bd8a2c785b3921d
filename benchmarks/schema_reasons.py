"""Why our schema, or our call, is right where another library's differs.

A reason holds for the differences that its pattern matches: in the cases that it names, or in all
of them where it names none because the library always does so.
"""

import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

PYDANTIC_AI = "pydantic-ai"
STRICT = "openai-agents"
LOOSE = "openai-agents, not strict"
AGENTS = (STRICT, LOOSE)
ALL = (PYDANTIC_AI, *AGENTS)


class Difference(NamedTuple):
    """One place where a peer differs: `path: ours / theirs`."""

    case: str
    peer: str
    line: str

    def __str__(self) -> str:
        return f"{self.case}, {self.peer}: {self.line}"


@dataclass(frozen=True)
class Reason:
    """One reason.

    Attributes:
        peers: Libraries that it is about.
        pattern: What differs: matched against the beginning of a difference.
        text: Why ours is right.
        cases: Names of cases; each must have such a difference with each of the peers.
    """

    peers: tuple[str, ...]
    pattern: str
    text: str
    cases: tuple[str, ...] = ()

    def holds(self, difference: Difference) -> bool:
        """Whether it explains a difference."""
        if difference.peer not in self.peers:
            return False
        if self.cases and difference.case not in self.cases:
            return False
        return re.match(self.pattern, difference.line) is not None


MODELS = (
    "a_whole_model",
    "a_whole_model_described",
    "a_whole_nested_model",
    "a_whole_recursive_model",
    "a_whole_generic_model",
    "a_whole_documented_model",
)
WHOLE_TYPED_DICTS = ("a_whole_typed_dict", "a_whole_recursive_typed_dict")
NO_NAME = ("a_callable_object", "a_partial_by_position", "a_partial_by_keyword")
REFUSAL = "the peer refuses the function: "
UNWRAPPED = "The only argument is an object already; small models forget the second one around it."

# The peers take `typing.TypedDict` from Python 3.12 on.
_TYPED_DICTS = (
    (
        Reason(
            ALL,
            REFUSAL + "PydanticUserError: Please use `typing_extensions.TypedDict`",
            "`typing.TypedDict` is what people write on Python 3.11.",
            (*WHOLE_TYPED_DICTS, "nested_typed_dicts"),
        ),
    )
    if sys.version_info < (3, 12)
    else (
        Reason(AGENTS, r"(properties|required)\b", UNWRAPPED, WHOLE_TYPED_DICTS),
        Reason(
            (PYDANTIC_AI,),
            r"(\S+\.)?additionalProperties: false / -",
            "A TypedDict has no other keys; theirs drops them in silence.",
            (*WHOLE_TYPED_DICTS, "nested_typed_dicts"),
        ),
        Reason(
            (LOOSE,),
            r"\S+\.additionalProperties: false / -",
            "A TypedDict has no other keys; theirs drops them in silence.",
            ("nested_typed_dicts",),
        ),
        Reason(
            (STRICT,),
            "call: the schema refuses right arguments",
            "A key that is `NotRequired` may be missing, which strict mode cannot say.",
            ("a_whole_typed_dict", "nested_typed_dicts"),
        ),
    )
)

REASONS = (
    *_TYPED_DICTS,
    Reason(
        (LOOSE,),
        r"additionalProperties: false / -$",
        "An unknown argument is refused by ours and dropped in silence by theirs: a model that"
        " misspells an optional argument never learns it.",
    ),
    Reason(
        (STRICT,),
        r"(\S+\.)?required: .*",
        "Strict mode makes everything required, so a model must invent a value where the function"
        " has a default. Ours asks for it only with `strict=True`, and then allows null for it.",
    ),
    Reason(
        (STRICT,),
        r"\S+\.default: null / -",
        "The default null is part of what the model should know.",
    ),
    Reason(
        (STRICT,),
        r"\S+\.additionalProperties: - / false",
        "The model class takes further fields, so its schema does not forbid them; only strict mode"
        " wants that.",
    ),
    Reason(
        (STRICT,),
        REFUSAL + "UserError: additionalProperties should not be set",
        "A map with free keys cannot be said in strict mode; ours then sends the schema without"
        " `strict` instead of refusing the function.",
        (
            *("bare_dict", "string_map", "integer_map", "enum_map", "abstract"),
            *("a_recursive_alias", "mutable_default"),
        ),
    ),
    Reason(
        (STRICT,),
        REFUSAL + "UserError: Variadic keyword parameter",
        "Further keywords are free keys too, and are sent without `strict`.",
        ("open_keywords", "only_keywords", "unpacked_keywords"),
    ),
    Reason(
        (LOOSE,),
        r"(properties|additionalProperties)(\.rest)?: ",
        "Further keywords stand beside the named ones in Python, so they do in ours; theirs hides"
        " them in an argument `rest`.",
        ("open_keywords", "only_keywords"),
    ),
    Reason(
        (PYDANTIC_AI, LOOSE),
        REFUSAL + "PydanticSchemaGenerationError: .*Unpack",
        "Keywords described by a TypedDict are ordinary Python (PEP 692).",
        ("unpacked_keywords",),
    ),
    Reason(
        AGENTS,
        r"(properties|required|additionalProperties)\b",
        UNWRAPPED,
        MODELS,
    ),
    Reason(
        AGENTS,
        "description: ",
        "It describes the object that is asked for, which is the outermost one in ours.",
        ("a_whole_model", "a_whole_model_described", "a_whole_documented_model"),
    ),
    Reason(
        (PYDANTIC_AI,),
        "description: ",
        "Theirs makes it the tool's description, unless the function has one; ours leaves it at the"
        " object, where it is read as well.",
        ("a_whole_model", "a_whole_model_described", "a_whole_documented_model"),
    ),
    Reason(
        (PYDANTIC_AI,),
        r"(properties|required)\b",
        "A description in `Annotated` does not change what the argument is: still unwrapped.",
        ("a_whole_model_described",),
    ),
    Reason(
        (PYDANTIC_AI,),
        r"properties\.weight\.description: ",
        "Field descriptions in the class's docstring are read.",
        ("a_whole_documented_model",),
    ),
    Reason(
        ALL,
        r"properties\.line\.(properties\.start\.)?description: ",
        "Field descriptions in the class's docstring stand at the fields; theirs is the raw text.",
        ("a_documented_dataclass",),
    ),
    Reason(
        (PYDANTIC_AI, LOOSE),
        r"\S+\.additionalProperties: false / -",
        "A dataclass takes no other keywords; theirs drops them in silence.",
        ("a_documented_dataclass", "a_union_of_models"),
    ),
    Reason(
        ALL,
        r"properties\.limit\.(anyOf|type): |call: the schema refuses right arguments",
        "`limit: int = None` takes None, whatever the annotation says; theirs sends the default and"
        " forbids it.",
        ("implicit_optional",),
    ),
    Reason(
        ALL,
        r"properties\.from\.(anyOf|type|minLength): |call: the schema refuses right arguments",
        "A default of None allows None; with an alias and a bound, too.",
        ("optional_alias",),
    ),
    Reason(
        (PYDANTIC_AI, LOOSE),
        "call: `rest` gets ValidatorIterator for list",
        "An `Iterable[int]` reaches theirs as a lazy iterator that fails inside the function at the"
        " first wrong item; ours is checked before the function runs.",
        ("abstract",),
    ),
    Reason(
        ALL,
        r"properties\.access\.|call: the schema refuses right arguments",
        "Flags combine: 0 and READ|WRITE are values of the type, and the model is told the names.",
        ("a_flag",),
    ),
    Reason(
        ALL,
        r"properties\.(amount|least)\.anyOf",
        "The text of a decimal has a pattern; theirs promises that any text does.",
        ("money",),
    ),
    Reason(
        (PYDANTIC_AI,),
        r"properties\.text\.description: ",
        "`Annotated` with text or `Doc` describes a parameter.",
        ("described_by_text", "described_by_doc"),
    ),
    Reason(
        AGENTS,
        r"properties\.text\.description: ",
        "`Annotated` with `Doc` (PEP 727) describes a parameter.",
        ("described_by_doc",),
    ),
    Reason(
        AGENTS,
        r"properties\.days\.description: ",
        "`Keyword Args:` is a section of Google's style as `Args:` is.",
        ("google",),
    ),
    Reason(
        AGENTS,
        r"properties\.host\.description: ",
        "A class is called with what its `__init__` says.",
        ("a_class",),
    ),
    Reason(
        (PYDANTIC_AI,),
        REFUSAL + "KeyError: 'host'",
        "A class is a callable; theirs looks for the annotations in the wrong place.",
        ("a_class",),
    ),
    Reason(
        ALL,
        REFUSAL + r"AttributeError: .* has no attribute '__name__'",
        "A callable object or a partial, with a name given, has all that a tool needs.",
        NO_NAME,
    ),
    Reason(
        ALL,
        REFUSAL + "NameError: name 'Nowhere' is not defined",
        "What a function returns is not needed for its arguments, so it need not be importable.",
        ("a_bound_method",),
    ),
    Reason(
        (PYDANTIC_AI,),
        REFUSAL + "PydanticUserError: `typing.Self` is invalid",
        "`Self` in a bound method is the class of its object.",
        ("a_method_of_its_own_type",),
    ),
    Reason(
        AGENTS,
        r"properties\.other\.|call: the schema refuses right arguments",
        "`Self` is the class of the object, not the library's own model of the arguments.",
        ("a_method_of_its_own_type",),
    ),
    Reason(
        AGENTS,
        REFUSAL + "TypeError: 'FieldInfo' object is not iterable",
        "`model_config` and `_hidden` are names that a parameter may have.",
        ("awkward_names",),
    ),
    Reason(
        (PYDANTIC_AI, LOOSE),
        r"\S+\.propertyNames: ",
        "JSON has text for keys only; the pattern says that these are numbers.",
        ("integer_map",),
    ),
    Reason(
        ALL,
        REFUSAL + r"PydanticSchemaGenerationError: .*'mbxai\.tools\.",
        "Ours are injected by annotation wherever they stand. A peer has one type of its own for"
        " the first parameter, and none for secrets.",
        ("with_context", "with_secret", "a_whole_dataclass"),
    ),
)

LIMITS: dict[str, str] = {}
"""Cases whose schema, in ours, takes arguments that our call refuses, and why."""


def explained(
    found: Mapping[tuple[str, str], list[str]], peers: Collection[str]
) -> tuple[dict[Reason, list[Difference]], list[str]]:
    """Sort differences by their reasons.

    Args:
        found: Differences by case and peer.
        peers: Libraries that were compared.

    Returns:
        What each reason explains, and problems: differences without a reason and reasons without a
        difference.
    """
    shown: dict[Reason, list[Difference]] = {}
    problems: list[str] = []
    used: set[tuple[Reason, str, str]] = set()
    for difference in (Difference(*key, line) for key, lines in found.items() for line in lines):
        # A reason for the case comes before one for all of them.
        fitting = sorted(
            (reason for reason in REASONS if reason.holds(difference)),
            key=lambda reason: not reason.cases,
        )
        if not fitting:
            problems.append(f"no reason: {difference}")
            continue
        used.update((reason, difference.case, difference.peer) for reason in fitting)
        shown.setdefault(fitting[0], []).append(difference)
    return shown, problems + _unused(used, peers)


def _unused(used: set[tuple[Reason, str, str]], peers: Collection[str]) -> list[str]:
    problems: list[str] = []
    for reason in REASONS:
        for peer in (each for each in reason.peers if each in peers):
            cases = {case for each, case, by in used if (each, by) == (reason, peer)}
            missing = sorted(set(reason.cases) - cases)
            if not cases and not missing:
                missing = ["any case"]
            problems += [f"no difference: {case}, {peer}: {reason.text}" for case in missing]
    return problems

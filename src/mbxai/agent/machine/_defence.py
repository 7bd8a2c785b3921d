"""Text that tools bring in: shown to a model as data, and never the reason for a new effect. Pure.

This makes it harder for such text to give a model orders; nothing can rule it out. What must not
happen without a person is therefore asked for, whatever the model was talked into: see `_permits`.
"""

import hashlib
import json
import re
from typing import Final

from mbxai.agent.machine._snapshot import AgentSnapshot, PendingCall

_TAG_CHARS: Final = 12
_MAX_LABEL_CHARS: Final = 100

# Line breaks of all kinds become plain ones.
_LINE_BREAK: Final = re.compile("\r\n|[\r\x85\u2028\u2029]")

# What shows nothing or turns the reading round: controls, soft hyphens, directions, zero widths,
# fillers, variation selectors, the tag characters, halves of surrogate pairs.
_HIDDEN_CHARS: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff"
)
_HIDDEN: Final = re.compile(f"[{_HIDDEN_CHARS}]")

# A joiner between two visible letters beyond the Latin ones belongs to them (an emoji of several,
# a word of Persian or Hindi), and so does one selector behind such a letter.
_VISIBLE: Final = f"[^\x00-\u02ff{_HIDDEN_CHARS}]"
_STRIPPED: Final = re.compile(
    rf"(?<={_VISIBLE})[\ufe0e\ufe0f](?![\ufe00-\ufe0f])"
    rf"|(?:(?<={_VISIBLE})|(?<=[\ufe0e\ufe0f]))[\u200c\u200d](?={_VISIBLE})"
    rf"|(?P<hidden>[{_HIDDEN_CHARS}])"
)

# Also with the wider signs that a model may read as the same.
_LOOK_ALIKE: Final = re.compile(
    r"[<\uff1c\u2039\u27e8\ufe64](?=\s*[/\uff0f]?\s*data\s*-)", re.IGNORECASE
)


def tag_of(snapshot: AgentSnapshot) -> str:
    """Return the session's tag, which nobody can guess who does not know the session.

    Args:
        snapshot: The state.

    Returns:
        Twelve letters and digits, the same through the whole session.
    """
    seed = f"{snapshot.agent_id}:{snapshot.nonce}:data"
    return hashlib.sha256(seed.encode(errors="surrogatepass")).hexdigest()[:_TAG_CHARS]


def marked(content: str, *, name: str, source: str, tag: str) -> str:
    """Return a text as a model is shown it: as data, with where it comes from.

    Args:
        content: What a tool returned.
        name: Name of the tool.
        source: "local", or the name of the MCP server that has it.
        tag: The session's tag.

    Returns:
        The text between marks that nothing in it can imitate, without hidden characters.
    """
    inner = _LOOK_ALIKE.sub("&lt;", stripped(content))
    inner = re.sub(re.escape(tag), "[...]", inner, flags=re.IGNORECASE)
    where = f'tool="{_label(name)}" server="{_label(source)}"'
    return f"<data-{tag} {where}>\n{inner}\n</data-{tag}>"


def stripped(text: str) -> str:
    """Return a text without characters that show nothing or turn the reading round.

    Args:
        text: Any text.

    Returns:
        The text; line breaks and tabs stay, and what joins an emoji or a letter of a script that
        needs it.
    """
    text = _LINE_BREAK.sub("\n", text)
    return _STRIPPED.sub(lambda found: "" if found["hidden"] else found[0], text)


def visible(text: str) -> str:
    r"""Return a text with every hidden character written out, for a person to decide about.

    Args:
        text: Any text, such as the JSON of a call's arguments; its meaning as JSON stays.

    Returns:
        The whole text, hidden characters as `\uXXXX`.
    """
    return _HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1], text)


def is_unplanned(snapshot: AgentSnapshot, call: PendingCall) -> bool:
    """Tell whether a call may come from a text that a tool brought in, and not from the plan.

    Args:
        snapshot: The state.
        call: A call with its tool's effect.

    Returns:
        True if the call has an effect, the plan did not name its tool, and a model has read text
        of others since.
    """
    return (
        snapshot.read_untrusted
        and snapshot.limits.unplanned_tools != "allow"
        and snapshot.named_tools is not None
        and call.name not in snapshot.named_tools
        and call.effect != "read"
    )


def _label(name: str) -> str:
    """A name as it may stand between quotation marks."""
    return re.sub(r'["<>\s]+', "_", stripped(name))[:_MAX_LABEL_CHARS]

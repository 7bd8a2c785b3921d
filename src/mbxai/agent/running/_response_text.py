"""The final response's JSON text out of an answer's text that comes in pieces. Pure."""


class ResponseText:
    """Picks one JSON object out of a text, as far as it has come."""

    def __init__(self, member: str | None = None) -> None:
        """Begin.

        Args:
            member: Name of the member that holds the object; None for the outermost one.
        """
        self._member = member
        self._depth = 0
        self._begins_at = 1 if member is None else 2
        self._name = ""
        self._string: list[str] | None = None
        self._is_escaped = False
        self._is_inside = False
        self._is_over = False

    def feed(self, piece: str) -> str:
        """Return what a piece holds of the object.

        Args:
            piece: The next piece of the text.

        Returns:
            Its characters that belong to the object; empty where it has not begun, or has ended.
        """
        return "".join(filter(self._takes, piece))

    def _takes(self, character: str) -> bool:
        if self._is_over:
            return False
        if self._string is not None:
            self._in_string(character)
        elif character == '"' and self._depth:  # in the words before there is no JSON
            self._string = []
        elif character in "{[":
            self._depth += 1
            begins = character == "{" and self._depth == self._begins_at
            self._is_inside |= begins and self._member in (None, self._name)
        elif character in "}]":
            self._depth -= 1
            self._is_over = self._is_inside and self._depth < self._begins_at
        return self._is_inside

    def _in_string(self, character: str) -> None:
        """Follow a string to its end; the last one of the outermost object may be a name."""
        if self._string is None:
            return
        if character == '"' and not self._is_escaped:
            if self._depth == 1:
                self._name = "".join(self._string)
            self._string = None
            return
        self._is_escaped = character == "\\" and not self._is_escaped
        if self._depth == 1:
            self._string.append(character)

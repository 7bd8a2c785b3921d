"""Answers that bring a key."""

from pydantic import Field, SecretStr

from mbxai._redaction import MASK, register_secret
from mbxai.wire import WireObject, WireResult


class KeyAnswer(WireResult):
    """Base of answers with a new key, which is shown nowhere and comes only once.

    Attributes:
        key: The key; `key.get_secret_value()` gives it away. Empty if none came.
    """

    key: SecretStr = Field(default=SecretStr(""))

    def model_post_init(self, context: object, /) -> None:
        """Keep the key out of logs and errors from now on."""
        super().model_post_init(context)
        register_secret(self.key.get_secret_value())

    def to_dict(self) -> WireObject:
        """Return the JSON object as it came, but for the key, which is masked."""
        fields = super().to_dict()
        return {**fields, "key": MASK} if "key" in fields else fields

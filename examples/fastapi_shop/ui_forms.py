"""What users of the pair send and see.

`ui_forms` has no I/O; ui_service.py sends and shows it.
"""

from typing import Any, Literal

from pydantic import BaseModel, SecretStr


class ChatMessage(BaseModel):
    """What the user says."""

    message: str


class Credentials(BaseModel):
    """The login form, filled in."""

    interaction_id: str
    username: str
    password: SecretStr


class Shown(BaseModel):
    """What the user is to see.

    Attributes:
        interaction_id: What a filled-in form refers to.
        shop_url: Where the login of the form is for.
    """

    type: Literal["working", "credentials_form", "question", "order_result", "failed"]
    session_id: str
    message: str = ""
    interaction_id: str = ""
    shop_url: str = ""


def shown(state: dict[str, Any]) -> Shown:  # Any: JSON of the agent service
    session_id, order = state["agent_id"], state["final_response"]
    if state["interactions"]:
        asked = state["interactions"][0]
        if not asked["dialog_options"]:
            return Shown(type="question", session_id=session_id, message=asked["prompt"])
        return Shown(
            type="credentials_form",
            session_id=session_id,
            message="Please provide your shop credentials",
            interaction_id=asked["id"],
            shop_url=asked["dialog_options"][0]["parameters"]["shop_url"],
        )
    if order is not None:
        text = f"Your last order: #{order['order_number']} from {order['date']} (ID: {order['id']})"
        return Shown(type="order_result", session_id=session_id, message=text)
    if state["error"] is not None:
        return Shown(type="failed", session_id=session_id, message="The order cannot be found.")
    return Shown(type="working", session_id=session_id)

"""The conversation of model and tools, from the caller's messages to the final answer."""

from typing import Any

from mbxai.tools._context import ToolContext
from mbxai.tools._conversation import Conversation
from mbxai.tools._port import ModelPort
from mbxai.tools._runner import ToolRunner
from mbxai.wire import ChatCompletion


async def converse(
    conversation: Conversation,
    port: ModelPort,
    runner: ToolRunner,
    context: ToolContext[Any] | None,
) -> ChatCompletion:
    """Ask the model and run its tools until it answers without calling one.

    Args:
        conversation: Begun with the caller's messages; holds every round afterwards.
        port: The model.
        runner: The tools.
        context: What surrounds the calls.

    Returns:
        The model's last answer, as it came.

    Raises:
        ToolRoundsExceededError: The model was still calling tools when the round limit was reached.
        OpenRouterError: As the wrapped client raises it.
    """
    while True:
        completion = await port.complete(**conversation.request())
        calls = conversation.take(completion)
        if calls is not None:
            conversation.answer(await runner.run_round(calls, context))
        elif not conversation.should_ask_again(completion):
            return completion

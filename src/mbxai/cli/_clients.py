"""The client behind a command: OpenRouter's, or one of the model on this machine."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

from mbxai.openrouter import OpenRouterClient


@contextmanager
def opened_client(
    model: str | None, *, local: bool, busy: Callable[[str], AbstractContextManager[object]]
) -> Generator[OpenRouterClient]:
    """Return a client that is closed with the block.

    Args:
        model: Name or slug of the model, with `local` a GGUF file; None takes the default.
        local: Whether to start the model on this machine.
        busy: Called with words like `Starting the local model`; entered while that lasts.

    Yields:
        The client.

    Raises:
        ConfigurationError: A setting is missing or impossible.
        LocalModelError: The local model cannot be started.
    """
    if not local:
        with OpenRouterClient(model=model) as client:
            yield client
        return
    from mbxai.local import LocalModel

    server = LocalModel(model)
    with busy("Starting the local model"):
        server.__enter__()
    try:
        yield server.sync_client()
    finally:
        server.close()

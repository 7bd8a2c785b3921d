"""What is named on the command line: objects, servers, the way to go on."""

import itertools
import shlex
import sys

import pytest

from mbxai.cli._load import load, load_dialogs, load_function, load_model
from mbxai.cli._run import MCPTarget, RunOptions, continue_command, mcp_target
from mbxai.errors import ConfigurationError

_numbers = itertools.count()

SOURCE = """
from pydantic import BaseModel
from mbxai.agent import DialogOption

class Order(BaseModel):
    item: str
    class Line(BaseModel):
        text: str

def stock(item: str) -> int:
    return 3

login = DialogOption(id="login", title="t", description="d")
both = [login, login]
number = 5
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into the current directory and returns its name, each time another."""

    def write(source: str = SOURCE) -> str:
        name = f"cli_options_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return write


def test_objects_of_the_current_directory_are_found(module):
    name = module()
    assert set(load_model(f"{name}:Order").model_fields) == {"item"}
    assert load_model(f"{name}:Order.Line").__name__ == "Line"
    assert load_function(f"{name}:stock")("lamp") == 3
    assert [option.id for option in load_dialogs(f"{name}:login")] == ["login"]
    assert len(load_dialogs(f"{name}:both")) == 2


@pytest.mark.parametrize("text", ["", "shop", "shop:", ":Order"])
def test_a_name_without_its_two_parts_is_refused(text):
    with pytest.raises(ConfigurationError, match="module:name"):
        load(text)


def test_what_is_named_must_be_there_and_of_the_right_kind(module):
    name = module()
    with pytest.raises(ConfigurationError, match="has no 'Nope'"):
        load_model(f"{name}:Nope")
    with pytest.raises(ConfigurationError, match="no pydantic model but int"):
        load_model(f"{name}:number")
    with pytest.raises(ConfigurationError, match="no function but int"):
        load_function(f"{name}:number")
    with pytest.raises(ConfigurationError, match="no DialogOption but the class Order"):
        load_dialogs(f"{name}:Order")


@pytest.mark.parametrize("name", ["no_such_module_here", "mbxai.no_such_module_here"])
def test_a_module_that_is_not_there_is_named(name):
    with pytest.raises(ConfigurationError, match=f"There is no module '{name}'"):
        load(f"{name}:x")


def test_a_module_that_needs_a_missing_package_says_which(module):
    with pytest.raises(ConfigurationError, match="needs 'no_such_package_here'"):
        load(f"{module('import no_such_package_here')}:x")


@pytest.mark.parametrize("source", ["1 / 0", "def (", "raise RuntimeError('two\\nlines')"])
def test_a_module_that_fails_is_told_in_one_line(module, source):
    with pytest.raises(ConfigurationError, match="cannot be imported") as caught:
        load(f"{module(source)}:x")
    assert "\n" not in str(caught.value)


def test_a_server_is_a_url_or_a_command_line():
    assert mcp_target("shop=https://x.test/mcp?a=b") == MCPTarget(
        "shop", url="https://x.test/mcp?a=b"
    )
    command = mcp_target("files=python 'my server.py' --root=/tmp").command
    assert command == ("python", "my server.py", "--root=/tmp")


@pytest.mark.parametrize("text", ["", "shop", "=python x", "shop=", "shop='open"])
def test_a_server_without_name_or_address_is_refused(text):
    with pytest.raises(ConfigurationError, match="--mcp"):
        mcp_target(text)


def test_the_command_that_goes_on_names_everything_that_is_needed():
    options = RunOptions(
        goal="g",
        local=True,
        model="m",
        schema="shop:Order",
        mcp=["files=python 'my server.py'"],
        tools=["shop:stock", "shop:price"],
        dialogs=["shop:login"],
        session="my sessions.sqlite",
    )
    words = ["mbxai", "run", "--session", "my sessions.sqlite", "--agent-id", "id-1", "--local"]
    words += ["--model", "m", "--schema", "shop:Order", "--mcp", "files=python 'my server.py'"]
    words += ["--tool", "shop:stock", "--tool", "shop:price", "--dialog", "shop:login"]
    assert shlex.split(continue_command(options, "id-1")) == words

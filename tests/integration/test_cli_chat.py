"""`mbxai chat`, `mbxai models`, `mbxai --version`."""

import json
import subprocess
import sys

from support.programs import COMMAND, environment, mbxai, terminal

import mbxai as package
from mbxai.openrouter import OpenRouterModel
from mbxai.testing import Failure, FakeOpenRouter, Reply


def test_piped_lines_are_one_conversation(tmp_path):
    with FakeOpenRouter([Reply("Hello!"), Reply("You said hi.")]) as fake:
        ended = mbxai(
            "chat", env=fake.env(), cwd=tmp_path, typed="hi\n\nwhat did I say?\n/quit\nx\n"
        )
        first, second = (request.json["messages"] for request in fake.requests())
    assert (ended.code, ended.out, ended.err) == (0, "Hello!\nYou said hi.\n", "")
    assert first == [{"role": "user", "content": "hi"}]
    assert [message["content"] for message in second] == ["hi", "Hello!", "what did I say?"]


def test_a_failed_answer_ends_a_piped_conversation(tmp_path):
    with FakeOpenRouter([Failure(402, message="Insufficient credits")]) as fake:
        ended = mbxai("chat", env=fake.env(), cwd=tmp_path, typed="hi\nho\n")
    assert (ended.code, ended.out) == (1, "")
    assert "Insufficient credits" in ended.err
    assert ended.err.count("\n") == 1


def test_an_answer_cannot_steer_the_terminal(tmp_path):
    with FakeOpenRouter([Reply("a\x1b[2Jb\nc")]) as fake:
        assert mbxai("chat", env=fake.env(), cwd=tmp_path, typed="hi\n").out == "a[2Jb\nc\n"


def test_in_a_terminal_a_failed_answer_is_told_and_the_conversation_goes_on(tmp_path):
    script = [Failure(402, message="Insufficient credits"), Reply("Hello!")]
    with FakeOpenRouter(script) as fake, terminal("chat", env=fake.env(), cwd=tmp_path) as screen:
        screen.wait_for("> ")
        screen.type("hi")
        screen.wait_for("Insufficient credits")
        screen.wait_for("> ", times=2)
        screen.type("hi again")
        screen.wait_for("Hello!")
        screen.wait_for("> ", times=3)
        screen.type("/quit")
        assert screen.end() == 0
        last = fake.requests()[-1].json["messages"]
    assert last == [{"role": "user", "content": "hi again"}]


def test_ctrl_c_stops_an_answer_and_at_the_prompt_the_program(tmp_path):
    with (
        FakeOpenRouter(chunk_delay=0.3) as fake,
        terminal("chat", env=fake.env(), cwd=tmp_path) as screen,
    ):
        screen.wait_for("> ")
        screen.type("a long story, please, with many words in it")
        screen.wait_for("Fake")
        screen.interrupt()
        screen.wait_for("[stopped]")
        screen.wait_for("> ", times=2)
        screen.interrupt()
        assert screen.end() == 130
        assert fake.requests()[0].aborted


def test_models_lists_names_and_slugs_without_a_key(tmp_path):
    plain = mbxai("models", env={}, cwd=tmp_path)
    as_json = mbxai("models", "--json", env={}, cwd=tmp_path)
    known = {model.name: model.value for model in OpenRouterModel}
    assert (plain.code, plain.err, as_json.code) == (0, "", 0)
    assert dict(line.split() for line in plain.lines) == known
    assert json.loads(as_json.out) == known


def test_the_version_is_that_of_the_package(tmp_path):
    assert mbxai("--version", env={}, cwd=tmp_path).out == f"mbxai {package.__version__}\n"


def test_a_reader_that_leaves_ends_the_program_quietly(tmp_path):
    with subprocess.Popen(
        [*COMMAND, "models"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=tmp_path,
    ) as program:
        program.stdout.close()
        assert program.stderr.read() == b""
        assert program.wait(20) == 1


def test_without_its_packages_the_program_says_how_to_get_them(tmp_path):
    code = "import sys; sys.modules['typer'] = None; from mbxai.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
    )
    message = "The command line needs more packages: pip install 'mbxai[cli]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_help_names_every_option_and_fits_eighty_columns(tmp_path):
    helped = mbxai("run", "--help", env={}, cwd=tmp_path)
    for option in ("--local", "--schema", "--mcp", "--tool", "--dialog", "--session", "--json"):
        assert option in helped.out
    assert max(map(len, helped.lines)) <= 80

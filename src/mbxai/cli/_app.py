"""The commands and their options; what they do is in the other files, loaded when they run."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

from mbxai._version import __version__
from mbxai.cli._exit_codes import USAGE
from mbxai.cli._failures import outcome_of, tell
from mbxai.cli._sessions_app import add_sessions
from mbxai.errors import ConfigurationError

if TYPE_CHECKING:
    from typer import Typer

_NO_KEY: Final = "Set OPENROUTER_API_KEY, or use --local for a small model on this machine."


def application() -> "Typer":
    """Return the program; calling it reads the command line and leaves with an exit code."""
    import typer

    app = typer.Typer(
        name="mbxai",
        help="Agents, chat and models of OpenRouter, or of a small model on this machine.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def show_version(wanted: bool) -> None:
        if wanted:
            typer.echo(f"mbxai {__version__}")
            raise typer.Exit

    @app.callback()
    def program(
        *,
        version: Annotated[
            bool,
            typer.Option(
                "--version", callback=show_version, is_eager=True, help="Show the version."
            ),
        ] = False,
    ) -> None: ...

    _add_run(app)
    _add_chat(app)
    _add_models(app)
    add_sessions(app)
    _add_serve(app)
    return app


def _add_run(app: "Typer") -> None:
    import typer

    @app.command("run")
    def command(
        *,
        goal: Annotated[str, typer.Argument(help="What is to be achieved.")] = "",
        local: Annotated[bool, typer.Option("--local", help=_LOCAL)] = False,
        model: Annotated[str | None, typer.Option(help=_MODEL)] = None,
        schema: Annotated[
            str | None,
            typer.Option(metavar="MODULE:MODEL", help="Pydantic model of the final answer."),
        ] = None,
        mcp: Annotated[
            list[str] | None, typer.Option(metavar="NAME=URL|COMMAND", help=_MCP)
        ] = None,
        tool: Annotated[
            list[str] | None,
            typer.Option(metavar="MODULE:FUNCTION", help="A function that the agent may call."),
        ] = None,
        dialog: Annotated[
            list[str] | None, typer.Option(metavar="MODULE:OPTION", help=_DIALOG)
        ] = None,
        human: Annotated[
            bool, typer.Option("--human/--no-human", help="Whether the agent may ask you.")
        ] = False,
        session: Annotated[str | None, typer.Option(metavar="STORE", help=_SESSION)] = None,
        agent_id: Annotated[str | None, typer.Option(metavar="ID", help=_AGENT_ID)] = None,
        max_cost: Annotated[float | None, typer.Option(metavar="USD", help=_MAX_COST)] = None,
        as_json: Annotated[bool, typer.Option("--json", help=_JSON)] = False,
    ) -> None:
        """Run an agent and print its typed answer."""
        if not goal and agent_id is None:
            tell('Say what is to be achieved: mbxai run "your goal"')
            raise typer.Exit(USAGE)

        def work() -> int:
            from mbxai.cli._run import RunOptions, run

            options = RunOptions(
                goal=goal,
                local=local,
                model=model,
                schema=schema,
                mcp=mcp or (),
                tools=tool or (),
                dialogs=dialog or (),
                human=human,
                session=session,
                agent_id=agent_id,
                max_cost=max_cost,
                as_json=as_json,
            )
            return run(options)

        raise typer.Exit(_with_model(work, local=local))


def _add_chat(app: "Typer") -> None:
    import typer

    @app.command("chat")
    def command(
        *,
        local: Annotated[bool, typer.Option("--local", help=_LOCAL)] = False,
        model: Annotated[str | None, typer.Option(help=_MODEL)] = None,
    ) -> None:
        """Talk with a model; /quit leaves."""

        def work() -> int:
            from mbxai.cli._chat import chat

            return chat(model=model, local=local)

        raise typer.Exit(_with_model(work, local=local))


def _add_models(app: "Typer") -> None:
    import typer

    @app.command("models")
    def command(
        *, as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False
    ) -> None:
        """List the names that stand for models."""
        from mbxai.cli._models import models

        raise typer.Exit(models(as_json=as_json))


def _add_serve(app: "Typer") -> None:
    import typer

    @app.command("serve")
    def command(
        target: Annotated[
            str,
            typer.Argument(
                metavar="MODULE:AGENT", help="An agent client, or a function that makes one."
            ),
        ],
        *,
        schema: Annotated[
            list[str] | None,
            typer.Option(metavar="MODULE:MODEL", help="Pydantic model of the final answer."),
        ] = None,
        host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
        port: Annotated[int, typer.Option(min=0, max=65535, help="0: any.")] = 8765,
        allow_host: Annotated[
            list[str] | None, typer.Option(metavar="NAME", help="A further name of this machine.")
        ] = None,
        token: Annotated[
            bool, typer.Option("--token/--no-token", help="Whether requests must bring a token.")
        ] = True,
        scope: Annotated[str, typer.Option(help="Whose sessions.")] = "",
    ) -> None:
        """Serve an agent on this machine, with a page to watch and to answer it."""

        def work() -> int:
            try:
                from mbxai.cli._serve import ServeOptions, serve
            except ModuleNotFoundError as error:
                raise ConfigurationError(
                    f"{error.name} is not installed.", hint='pip install "mbxai[cli,fastapi]"'
                ) from error
            options = ServeOptions(
                target=target,
                schemas=schema or (),
                host=host,
                port=port,
                allowed_hosts=allow_host or (),
                has_token=token,
                scope=scope,
            )
            return serve(options)

        raise typer.Exit(outcome_of(work))


def _with_model(command: Callable[[], int], *, local: bool) -> int:
    """Run a command that needs a model; every failure that we know is one line."""
    if not local and not os.environ.get("OPENROUTER_API_KEY", "").strip():
        tell(_NO_KEY)
        return USAGE
    return outcome_of(command)


_LOCAL: Final = "Use a small model on this machine; no key, nothing leaves it."
_MODEL: Final = "Name or slug of the model; with --local a GGUF file."
_MCP: Final = "An MCP server: where it is, or the command that starts it. May be repeated."
_DIALOG: Final = "A DialogOption, or a list of them, that you can fill in. May be repeated."
_SESSION: Final = "Keep the session there: a file, sqlite:PATH, redis:// or postgresql://."
_AGENT_ID: Final = "The session to go on with, or the id for a new one."
_MAX_COST: Final = "Stop before the next model call once this much is spent."
_JSON: Final = "One JSON object a line: the events, then the outcome."

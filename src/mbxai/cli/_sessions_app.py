"""The commands of `mbxai sessions` and their options; what they do is loaded when they run."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

from mbxai.cli._exit_codes import USAGE
from mbxai.cli._failures import outcome_of, tell

if TYPE_CHECKING:
    from typer import Typer

    from mbxai.cli._sessions import Place

_NO_STORE: Final = "Say where the sessions are: --store URL, or set MBXAI_SESSION_STORE."


def add_sessions(app: "Typer") -> None:
    """Add `mbxai sessions` to the program.

    Args:
        app: The program.
    """
    import typer

    sessions = typer.Typer(
        help="Stored sessions: look at them, answer them, run them.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    _add_list(sessions)
    _add_show_and_export(sessions)
    _add_answer(sessions)
    _add_cancel(sessions)
    _add_fork(sessions)
    _add_delete_and_sweep(sessions)
    _add_work(sessions)
    app.add_typer(sessions, name="sessions")


def _add_list(app: "Typer") -> None:
    import typer

    @app.command("list")
    def list_command(
        *,
        store: Annotated[str, _store()] = "",
        scope: Annotated[str, typer.Option(help=_SCOPE)] = "",
        status: Annotated[
            str | None, typer.Option(help="Only those in this state, such as waiting_for_human.")
        ] = None,
        limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
        cursor: Annotated[str | None, typer.Option(help="Where an earlier list ended.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    ) -> None:
        """List sessions, the newest first: id, status, age, version."""

        def run(place: "Place") -> int:
            from mbxai.cli._sessions import listed

            return listed(place, status=status, cursor=cursor, limit=limit)

        _at(store, scope, run, as_json=as_json)


def _add_show_and_export(app: "Typer") -> None:
    import typer

    @app.command("show")
    def show_command(
        agent_id: Annotated[str, typer.Argument(metavar="ID", help=_ID)],
        *,
        store: Annotated[str, _store()] = "",
        scope: Annotated[str, typer.Option(help=_SCOPE)] = "",
        as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    ) -> None:
        """Show a session: state, plan, open requests, usage, answer."""

        def run(place: "Place") -> int:
            from mbxai.cli._sessions import shown

            return shown(place, agent_id)

        _at(store, scope, run, as_json=as_json)

    @app.command("export")
    def export_command(
        agent_id: Annotated[str, typer.Argument(metavar="ID", help=_ID)],
        *,
        store: Annotated[str, _store()] = "",
        scope: Annotated[str, typer.Option(help=_SCOPE)] = "",
        as_json: Annotated[bool, typer.Option("--json", help="On one line.")] = False,
    ) -> None:
        """Write all that is known of a session as JSON, without credentials."""

        def run(place: "Place") -> int:
            from mbxai.cli._sessions import exported

            return exported(place, agent_id)

        _at(store, scope, run, as_json=as_json)


def _add_answer(app: "Typer") -> None:
    import typer

    @app.command("answer")
    def answer_command(
        agent_id: Annotated[str, typer.Argument(metavar="ID", help=_ID)],
        *,
        store: Annotated[str, _store()] = "",
        scope: Annotated[str, typer.Option(help=_SCOPE)] = "",
        request: Annotated[
            str | None, typer.Option(metavar="ID", help="Which request; see `show`.")
        ] = None,
        decision: Annotated[str | None, typer.Option(help="One of its options.")] = None,
        answer: Annotated[str | None, typer.Option(help="The answer in words.")] = None,
        content: Annotated[
            str | None, typer.Option(metavar="JSON", help="Values by field, for a form.")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    ) -> None:
        """Answer what a session asks; without an answer in the options you are asked.

        The session goes on where a worker runs it, or with `mbxai run --agent-id`.
        """

        def run(place: "Place") -> int:
            from mbxai.cli._sessions import GivenAnswer, answered

            given = GivenAnswer(request=request, decision=decision, answer=answer, content=content)
            return answered(place, agent_id, given)

        _at(store, scope, run, as_json=as_json)


def _add_cancel(app: "Typer") -> None:
    import typer

    @app.command("cancel")
    def cancel_command(
        agent_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="The sessions.")],
        *,
        store: Annotated[str, _store()] = "",
        scope: Annotated[str, typer.Option(help=_SCOPE)] = "",
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    ) -> None:
        """Have sessions end that run, wait or were cut off; tools that run are waited for."""

        def run(place: "Place") -> int:
            from mbxai.cli._sessions import cancelled

            return cancelled(place, agent_ids)

        _at(store, scope, run, as_json=as_json)


def _add_fork(app: "Typer") -> None:
    import typer

    @app.command("fork")
    def fork_command(
        agent_id: Annotated[str, typer.Argument(metavar="ID", help=_ID)],
        *,
        store: Annotated[str, _store()] = "",
        scope: Annotated[str, typer.Option(help=_SCOPE)] = "",
        at: Annotated[
            int | None,
            typer.Option(
                metavar="SEQ", help="The event after which the fork begins; see `export`."
            ),
        ] = None,
        new_id: Annotated[str | None, typer.Option(metavar="ID", help="The fork's id.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    ) -> None:
        """Make another session that begins where this one is, or was, and write its id."""

        def run(place: "Place") -> int:
            from mbxai.cli._sessions import forked

            return forked(place, agent_id, at=at, new_agent_id=new_id)

        _at(store, scope, run, as_json=as_json)


def _add_delete_and_sweep(app: "Typer") -> None:
    import typer

    @app.command("delete")
    def delete_command(
        agent_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="The sessions.")],
        *,
        store: Annotated[str, _store()] = "",
        scope: Annotated[str, typer.Option(help=_SCOPE)] = "",
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    ) -> None:
        """Delete sessions, at once and for good, also those that run."""

        def run(place: "Place") -> int:
            from mbxai.cli._sessions import deleted

            return deleted(place, agent_ids)

        _at(store, scope, run, as_json=as_json)

    @app.command("sweep")
    def sweep_command(
        *,
        older_than: Annotated[
            str,
            typer.Option(metavar="TIME", help="How long nobody saved them, such as 30d or 12h."),
        ],
        store: Annotated[str, _store()] = "",
        as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    ) -> None:
        """Remove old sessions of all scopes, whatever their state; none that runs."""

        def run(place: "Place") -> int:
            from mbxai.cli._sessions import swept

            return swept(place, older_than=older_than)

        _at(store, "", run, as_json=as_json)


def _add_work(app: "Typer") -> None:
    import typer

    @app.command("work")
    def work_command(
        target: Annotated[str, typer.Argument(metavar="MODULE:AGENT", help=_TARGET)],
        *,
        concurrency: Annotated[int, typer.Option(min=1, help="Sessions at once, at most.")] = 8,
        grace: Annotated[
            float, typer.Option(min=0, metavar="SECONDS", help="How long runs may take to rest.")
        ] = 30.0,
        poll: Annotated[
            float, typer.Option(min=0.01, metavar="SECONDS", help="Pause between two looks.")
        ] = 1.0,
        scope: Annotated[
            str | None, typer.Option(help="Only the sessions of this tenant or user.")
        ] = None,
        until_idle: Annotated[
            bool, typer.Option("--until-idle", help="Leave once nothing is due.")
        ] = False,
        as_json: Annotated[
            bool, typer.Option("--json", help="The log as one JSON object a line.")
        ] = False,
    ) -> None:
        """Run sessions that are due, until SIGTERM or Ctrl-C; a second one cuts runs off.

        The store is the agent's own. What happens is logged to standard error.
        """

        def run() -> int:
            from mbxai.cli._sessions_work import WorkOptions, work

            options = WorkOptions(
                target=target,
                concurrency=concurrency,
                poll=poll,
                grace=grace,
                scope=scope,
                until_idle=until_idle,
                as_json=as_json,
            )
            return work(options)

        raise typer.Exit(outcome_of(run))


def _at(store: str, scope: str, run: Callable[["Place"], int], *, as_json: bool) -> None:
    """Run a command on a store, and leave with its exit code."""
    import typer

    if not store.strip():
        tell(_NO_STORE)
        raise typer.Exit(USAGE)

    def command() -> int:
        from mbxai.cli._sessions import Place

        return run(Place(store=store.strip(), scope=scope, as_json=as_json))

    raise typer.Exit(outcome_of(command))


def _store() -> object:
    import typer

    return typer.Option(metavar="URL", envvar="MBXAI_SESSION_STORE", help=_STORE)


_ID: Final = "The session."
_SCOPE: Final = "Whose sessions, where tenants or users are told apart."
_STORE: Final = "sqlite:PATH or a path, redis://..., postgresql://..."
_TARGET: Final = "An agent, or a function that makes one; a coroutine function may as well."

"""Session stores with one fault each, and the check of the suite that has to find it."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from mbxai.errors import ConfigurationError, SessionBusyError, SessionStoreError
from mbxai.sessions import (
    DueSession,
    InMemorySessionStore,
    LogRow,
    PostedAnswer,
    SessionPage,
    SessionRecord,
)


class Fault(NamedTuple):
    """A store, the check that finds its fault, and what the message says about it."""

    store: type[InMemorySessionStore]
    check: str
    says: str

    def __str__(self) -> str:
        return f"{self.store.__name__}-{self.check}"


FAULTS: list[Fault] = []


def found_by(check: str, says: str) -> Callable[[type], type]:
    """Note which check has to find the fault of a store."""

    def note(store: type) -> type:
        FAULTS.append(Fault(store, check, says))
        return store

    return note


@found_by("old_record_is_a_conflict", "expected SessionConflictError, got SessionRecord")
@found_by("one_save_wins", "saves that won: expected 1")
class LastWriterWins(InMemorySessionStore):
    """Saves over any version."""

    async def save(self, record, data=None, **options):
        now = await self.load(record.agent_id, scope=record.scope)
        return await super().save(
            replace(record, version=now.version) if now else record, data, **options
        )


@found_by("record_of_an_earlier_claim_is_refused", "save by the old owner")
@found_by("lease_that_ran_out_is_taken_over", "heartbeat by the old owner")
class ForgetsFences(InMemorySessionStore):
    """Compares versions, but neither fences nor who holds a session."""

    def _held(self, record, owner):
        stored = self._stored(record.agent_id, record.scope)
        if stored is None or stored.owner is None or stored.version != record.version:
            return record, owner
        return replace(record, fence=stored.fence), stored.owner

    async def save(self, record, data=None, *, owner, **options):
        stored = self._stored(record.agent_id, record.scope)
        if stored is not None and stored.fence == record.fence:
            return await super().save(record, data, owner=owner, **options)
        held, holder = self._held(record, owner)
        # Only the name is compared: a worker that lost the session and got it again may go on.
        return await super().save(held if holder == owner else record, data, owner=owner, **options)

    async def heartbeat(self, record, *, owner):
        held, holder = self._held(record, owner)
        await super().heartbeat(held, owner=holder)


@found_by("lease_that_ran_out_is_taken_over", "fence after the takeover: expected more than 1")
@found_by("released_session_is_free", "fence after the claim after a release")
class FenceStandsStill(InMemorySessionStore):
    """A new owner has the fence of the one before it."""

    async def claim(self, agent_id, *, scope="", **options):
        before = self._stored(agent_id, scope)
        record = await super().claim(agent_id, scope=scope, **options)
        if before is None:
            return record
        self._put(
            agent_id, scope, replace(self._stored(agent_id, scope), fence=max(before.fence, 1))
        )
        return replace(record, fence=max(before.fence, 1))


@found_by("one_claim_wins", "more or fewer than one winner")
class ReadsThenWrites(InMemorySessionStore):
    """Claims in two steps, and lets others in between."""

    async def claim(self, agent_id, *, owner, lease_seconds, scope=""):
        before = self._stored(agent_id, scope)
        await asyncio.sleep(0)
        if before is None or before.owner is None:
            stored = self._stored(agent_id, scope)
            if stored is not None:
                self._put(agent_id, scope, replace(stored, owner=None))
        return await super().claim(agent_id, owner=owner, lease_seconds=lease_seconds, scope=scope)


@found_by("dead_worker_is_replaced", "what is due|not enough values")
@found_by("lease_that_ran_out_is_taken_over", "nothing was to be raised, got SessionBusyError")
class LeaseNeverEnds(InMemorySessionStore):
    """A worker that dies keeps its sessions for ever."""

    async def claim(self, agent_id, *, owner, lease_seconds, scope=""):
        stored = self._stored(agent_id, scope)
        if stored is not None and stored.owner not in {None, owner}:
            raise SessionBusyError("It is held.", agent_id=agent_id)
        return await super().claim(agent_id, owner=owner, lease_seconds=1e9, scope=scope)


@found_by("heartbeat_renews_the_lease", "soon after a heartbeat: expected SessionBusyError")
class HeartbeatDoesNothing(InMemorySessionStore):
    """Says yes to a heartbeat and forgets it."""

    async def heartbeat(self, record, *, owner):
        before = self._stored(record.agent_id, record.scope)
        await super().heartbeat(record, owner=owner)
        self._put(record.agent_id, record.scope, before)


@found_by("save_renews_the_lease", "soon after a save: expected SessionBusyError")
class SaveDoesNotRenew(InMemorySessionStore):
    """Leaves the lease as it is when a session is saved."""

    async def save(self, record, data=None, **options):
        before = self._stored(record.agent_id, record.scope)
        saved = await super().save(record, data, **options)
        stored = self._stored(record.agent_id, record.scope)
        self._put(record.agent_id, record.scope, replace(stored, until=before.until))
        return saved


@found_by("stored_content_is_a_copy_both_ways", "data after copies were changed")
class SharesObjects(InMemorySessionStore):
    """Keeps the dicts that it was given and gives them to everybody."""

    def __init__(self, **options):
        super().__init__(**options)
        self._objects: dict[str, dict[str, Any]] = {}

    async def create(self, agent_id, data, **options):
        self._objects[agent_id] = data
        return await super().create(agent_id, data, **options)

    async def load(self, agent_id, **options):
        record = await super().load(agent_id, **options)
        return replace(record, data=self._objects[agent_id]) if record else None


@found_by("session_of_another_scope_is_not_found", "load: expected None, got SessionRecord")
@found_by("same_id_in_two_scopes_is_two_sessions", "SessionConflictError")
class KnowsNoScopes(InMemorySessionStore):
    """Looks up sessions by their id alone."""

    def _found(self, agent_id, scope):
        for (_, key), drawer in self._drawers.items():
            if key == agent_id:
                return drawer
        return None


@found_by("scope_and_id_are_not_joined", "SessionConflictError|data of")
class JoinsScopeAndId(InMemorySessionStore):
    """Makes one key of scope and id with a colon in between."""

    async def create(self, agent_id, data, *, scope="", **options):
        joined = f"{scope}:{agent_id}" if scope else agent_id
        return await super().create(joined, data, **options)

    async def load(self, agent_id, *, scope="", **options):
        joined = f"{scope}:{agent_id}" if scope else agent_id
        return await super().load(joined, **options)


@found_by("odd_ids_are_plain_data", "SessionConflictError")
class FoldsCase(InMemorySessionStore):
    """Takes "A" for "a", as some databases do."""

    async def create(self, agent_id, data, **options):
        record = await super().create(agent_id.casefold(), data, **options)
        return replace(record, agent_id=agent_id)


@found_by("impossible_ids_are_not_found", "expected SessionNotFoundError")
class TakesAnyId(InMemorySessionStore):
    """Reads whatever it is asked for."""

    async def load(self, agent_id, *, scope=""):
        drawer = self._found(agent_id, scope)
        return drawer.stored.record(agent_id, scope) if drawer else None


@found_by("old_record_is_a_conflict", "the log: expected")
@found_by("one_save_wins", "the session: expected|the log: expected")
class LogBeforeSave(InMemorySessionStore):
    """Appends rows first and compares afterwards."""

    async def save(self, record, data=None, *, rows=(), **options):
        drawer = self._found(record.agent_id, record.scope)
        before = drawer.stored if drawer else None
        try:
            return await super().save(record, data, rows=rows, **options)
        except Exception:
            for row in rows if before else ():
                seq = max(drawer.rows, default=0) + 1
                drawer.rows[seq] = str(row).replace("'", '"').encode()
            raise


@found_by("cancelled_save_is_whole_or_not_there", "after a cancelled save|the log")
class SavesInTwoSteps(InMemorySessionStore):
    """Writes the data, then the rows: what is cancelled in between is half a save."""

    async def save(self, record, data=None, *, rows=(), **options):
        saved = await super().save(record, data, **options)
        await asyncio.sleep(0)
        return await super().save(saved, data, rows=rows, **options) if rows else saved


@found_by("log_is_numbered_without_gaps", "seq after a save")
class LogBeginsAgain(InMemorySessionStore):
    """Numbers the rows of each save from one."""

    async def save(self, record, data=None, *, rows=(), **options):
        saved = await super().save(record, data, rows=rows, **options)
        return replace(saved, seq=len(rows))


@found_by("log_is_read_in_pages", "read_log.after=0, limit=1.")
class ReadsWholeLogs(InMemorySessionStore):
    """Gives all rows, whatever the limit is."""

    async def read_log(self, agent_id, *, limit=0, **options) -> list[LogRow]:
        return await super().read_log(agent_id, limit=10**9, **options)


@found_by("dropped_rows_are_gone", "the log: expected")
class DropsNothing(InMemorySessionStore):
    """Keeps rows for ever."""

    async def save(self, record, data=None, *, drop_rows=0, **options):
        return await super().save(record, data, **options)


@found_by("first_answer_stays", "a second answer to the same interaction")
@found_by("no_answer_is_lost_or_doubled", "numbers in the inbox: expected")
class LastAnswerWins(InMemorySessionStore):
    """Replaces an answer that is there."""

    async def post_answer(self, agent_id, interaction_id, content, *, scope="") -> PostedAnswer:
        drawer = self._found(agent_id, scope)
        if drawer and interaction_id in drawer.answers:
            number, _, at = drawer.answers.pop(interaction_id)
            posted = await super().post_answer(agent_id, interaction_id, content, scope=scope)
            drawer.answers[interaction_id] = (
                number,
                drawer.answers[interaction_id][1],
                at,
            )
            return replace(posted, number=number)
        return await super().post_answer(agent_id, interaction_id, content, scope=scope)


@found_by("answer_needs_no_lease", "SessionBusyError")
class AnswersNeedTheLease(InMemorySessionStore):
    """Takes answers only while nobody runs the session."""

    async def post_answer(self, agent_id, interaction_id, content, *, scope="") -> PostedAnswer:
        await self.claim(agent_id, owner="inbox", lease_seconds=1, scope=scope)
        return await super().post_answer(agent_id, interaction_id, content, scope=scope)


@found_by("answers_that_were_read_are_emptied", "the inbox: expected")
class KeepsAnswers(InMemorySessionStore):
    """Keeps what people answered although it was taken in."""

    async def save(self, record, data=None, **options):
        drawer = self._found(record.agent_id, record.scope)
        kept = dict(drawer.answers) if drawer else {}
        saved = await super().save(record, data, **options)
        drawer.answers.update(kept)
        return saved


@found_by("answers_that_were_read_are_emptied", "a late answer to what was taken in")
class ForgetsAnswers(InMemorySessionStore):
    """Removes answers that were taken in, and takes them again."""

    async def post_answer(self, agent_id, interaction_id, content, *, scope="") -> PostedAnswer:
        drawer = self._found(agent_id, scope)
        if drawer and drawer.answers.get(interaction_id, (0, b"", 0.0))[1] is None:
            del drawer.answers[interaction_id]
        return await super().post_answer(agent_id, interaction_id, content, scope=scope)


@found_by("unread_answers_make_a_session_due", "the answer came meanwhile")
class LosesWakeUps(InMemorySessionStore):
    """Forgets at a release what came while the session was held."""

    async def release(self, record, *, owner, due_at=None):
        await super().release(record, owner=owner, due_at=due_at)
        stored = self._stored(record.agent_id, record.scope)
        if stored is not None:
            after = replace(stored, answers_read=stored.answers_posted)
            self._put(record.agent_id, record.scope, after)


@found_by("session_is_due_at_its_time", "due while it is claimed")
class DueWhileClaimed(InMemorySessionStore):
    """Names sessions as due that a worker holds."""

    async def due(self, *, scope=None, limit=100) -> list[DueSession]:
        return [
            DueSession(agent_id=agent_id, scope=of)
            for (of, agent_id), drawer in self._drawers.items()
            if scope in (None, of) and drawer.stored.due_at is not None
            if drawer.stored.due_at <= self._now()
        ][:limit]


@found_by("list_goes_on_while_sessions_change", "named twice|not named")
class PagesByOffset(InMemorySessionStore):
    """Its cursor is how many sessions were seen."""

    async def list(self, *, cursor=None, limit=100, **options) -> SessionPage:
        try:
            seen = int(base64.urlsafe_b64decode(cursor or b"MA==")) if cursor != "" else -1
        except ValueError as error:
            raise ConfigurationError("No cursor.") from error
        whole = await super().list(limit=1000, **options)
        shown = whole.sessions[seen : seen + limit]
        more = seen + limit < len(whole.sessions)
        text = base64.urlsafe_b64encode(str(seen + limit).encode()).decode()
        return SessionPage(sessions=shown, next_cursor=text if more else None)


@found_by("list_pages_have_each_session_once", "sessions in pages of 7")
class PagesByTime(InMemorySessionStore):
    """Its pages go by the time alone: of those made at the same time some are left out."""

    async def list(self, *, cursor=None, limit=100, scope="", status=None) -> SessionPage:
        before = float(cursor) if cursor else float("inf")
        whole = await super().list(scope=scope, status=status, limit=1000)
        left = [one for one in whole.sessions if one.created_at < before]
        cursor = str(left[limit - 1].created_at) if len(left) > limit else None
        return SessionPage(sessions=tuple(left[:limit]), next_cursor=cursor)


@found_by("bad_cursors_and_limits_are_refused", "expected ConfigurationError, got SessionPage")
class IgnoresBadCursors(InMemorySessionStore):
    """Begins again from the first page where it does not understand a cursor."""

    async def list(self, *, cursor=None, **options) -> SessionPage:
        try:
            return await super().list(cursor=cursor, **options)
        except ConfigurationError:
            return await super().list(**options)


@found_by("claimed_session_does_not_expire", "data of a claimed session: expected")
class ExpiresWhileClaimed(InMemorySessionStore):
    """Its time to live takes no notice of a worker."""

    def _found(self, agent_id, scope):
        drawer = super()._found(agent_id, scope)
        ttl = self._ttl_seconds
        if drawer and ttl is not None and drawer.stored.updated_at + ttl <= self._now():
            del self._drawers[scope, agent_id]
            return None
        return drawer


@found_by("expired_session_is_not_found", "load: expected None, got SessionRecord")
class ExpiresWhenSwept(InMemorySessionStore):
    """Finds a session whose time is up until somebody sweeps."""

    def _found(self, agent_id, scope):
        return self._drawers.get((scope, agent_id))


@found_by("deleted_session_is_gone", "load after its owner's release|heartbeat|save by")
class DeletedComesBack(InMemorySessionStore):
    """A save of a deleted session writes it anew."""

    async def save(self, record, data=None, *, owner, **options):
        if self._stored(record.agent_id, record.scope) is None:
            return await super().create(record.agent_id, data, scope=record.scope)
        return await super().save(record, data, owner=owner, **options)


@found_by("deleted_session_is_gone", "read_log: expected|read_answers: expected")
class DeleteLeavesTheLog(InMemorySessionStore):
    """Removes a session and forgets its log."""

    def __init__(self, **options):
        super().__init__(**options)
        self._logs: dict[tuple[str, str], list[LogRow]] = {}

    async def delete(self, agent_id, *, scope=""):
        self._logs[scope, agent_id] = await self.read_log(agent_id, scope=scope)
        return await super().delete(agent_id, scope=scope)

    async def read_log(self, agent_id, *, scope="", **options) -> list[LogRow]:
        rows = await super().read_log(agent_id, scope=scope, **options)
        return rows or self._logs.get((scope, agent_id), [])


@found_by("data_that_is_no_json_is_refused", "save of an object: expected SessionDataError")
class TakesAnything(InMemorySessionStore):
    """Writes what is no JSON as text, without a word."""

    async def save(self, record, data=None, **options):
        return await super().save(record, _as_text(data), **options)


@found_by("json_comes_back_as_it_was_given", "numbers|half a surrogate pair")
class LosesDigits(InMemorySessionStore):
    """Keeps numbers as floats, as a table of a scripting language does."""

    async def create(self, agent_id, data, **options):
        return await super().create(agent_id, _as_floats(data), **options)


@found_by("wait_wakes_on_a_new_row", "wait of nine readers")
class NeverWakes(InMemorySessionStore):
    """Looks for rows once, and then sleeps."""

    async def wait(self, agent_id, *, after, timeout_seconds, scope=""):
        found = await super().wait(agent_id, after=after, timeout_seconds=0, scope=scope)
        if not found:
            await asyncio.sleep(min(timeout_seconds, 0.2))
        return found


@found_by("wait_can_be_cancelled", "it went on")
class SwallowsCancellation(InMemorySessionStore):
    """Takes a cancellation for the end of the waiting."""

    async def wait(self, agent_id, *, after, timeout_seconds, scope=""):
        try:
            return await super().wait(
                agent_id, after=after, timeout_seconds=min(timeout_seconds, 0.2), scope=scope
            )
        except asyncio.CancelledError:
            return False


@found_by("wait_tells_what_there_is", "it had not ended after 0.9 s")
class WaitsForEver(InMemorySessionStore):
    """Takes no notice of how long it may wait."""

    async def wait(self, agent_id, *, after, timeout_seconds, scope=""):
        return await super().wait(agent_id, after=after, timeout_seconds=1e9, scope=scope)


@found_by("closed_store_opens_again", "nothing was to be raised, got SessionStoreError")
class ClosedForGood(InMemorySessionStore):
    """Cannot be used after it was closed."""

    _is_closed = False

    async def aclose(self):
        self._is_closed = True

    async def create(self, agent_id, data, **options):
        if self._is_closed:
            raise SessionStoreError("The store is closed.")
        return await super().create(agent_id, data, **options)


@found_by("store_works_on_one_loop_after_the_other", "RuntimeError")
@found_by("store_works_on_two_loops_at_once", "RuntimeError|sessions that were won")
class BelongsToOneLoop(InMemorySessionStore):
    """Guards its sessions with a lock of the first event loop that comes along."""

    _loop: asyncio.AbstractEventLoop | None = None

    async def claim(self, agent_id, **options) -> SessionRecord:
        loop = asyncio.get_running_loop()
        if self._loop not in {None, loop}:
            raise RuntimeError("It is bound to a different event loop.")
        self._loop = loop
        return await super().claim(agent_id, **options)


def _as_text(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _as_text(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_as_text(value) for value in data]
    return data if data is None or isinstance(data, str | int) else str(data)


def _as_floats(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _as_floats(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_as_floats(value) for value in data]
    return float(data) if isinstance(data, int) and not isinstance(data, bool) else data

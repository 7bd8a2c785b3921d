"""A bank: bound methods of one object, marked with `@tool`."""

from dataclasses import asdict, dataclass
from random import Random
from typing import Annotated, Any, Literal

from pydantic import Field
from support.tool_world import EVERYTHING, Op, RefusedError, Runs, WorldKind, some

from mbxai.tools import AsyncToolClient, tool

Kind = Literal["checking", "savings"]
Cents = Annotated[int, Field(gt=0, le=10_000_000)]

OWNERS = ("ann", "bob", "cem", "dora", "emil")
KINDS = ("checking", "savings")


@dataclass
class Account:
    owner: str
    kind: str
    cents: int = 0
    limit: int | None = None


class Bank:
    """Accounts, and the journal of what was paid."""

    def __init__(self, start: dict[str, Any], runs: Runs) -> None:
        self._accounts = {name: Account(**data) for name, data in start["accounts"].items()}
        self._paid: dict[str, list[str]] = {n: list(x) for n, x in start["paid"].items()}
        self._runs = runs

    def register(self, client: AsyncToolClient, **options: Any) -> None:
        methods = (
            self.open_account,
            self.deposit,
            self.withdraw,
            self.transfer,
            self.balance,
            self.close_account,
            self.list_accounts,
        )
        for method in methods:
            client.tool(**options)(method)

    def state(self) -> dict[str, Any]:
        accounts = {name: asdict(account) for name, account in self._accounts.items()}
        return {"accounts": accounts, "paid": self._paid}

    @tool(description="Open an account.")
    def open_account(
        self, owner: str, kind: Kind = "checking", *, limit: int | None = None
    ) -> dict[str, str]:
        with self._runs.of("open_account", owner=owner, kind=kind, limit=limit):
            name = f"{owner}-{kind}"
            if name in self._accounts:
                raise ValueError(f"{name} is there already")
            self._accounts[name] = Account(owner, kind, 0, limit)
            self._paid[name] = []
            return {"account": name}

    @tool
    def deposit(self, account: str, cents: Cents) -> int:
        """Pay money in.

        Args:
            account: Name of the account.
            cents: How much.
        """
        with self._runs.of("deposit", account=account, cents=cents):
            found = self._account(account)
            found.cents += cents
            return found.cents

    @tool(effect="once")
    def withdraw(self, account: str, cents: Cents) -> int:
        """Take money out."""
        with self._runs.of("withdraw", account=account, cents=cents):
            return self._take(account, cents)

    @tool
    async def transfer(
        self, source: str, target: str, cents: Cents, note: str = ""
    ) -> dict[str, int]:
        """Move money from one account to another."""
        with self._runs.of("transfer", source=source, target=target, cents=cents, note=note):
            self._account(target)
            left = self._take(source, cents)
            self._accounts[target].cents += cents
            self._paid[source].append(f"{cents} to {target}: {note}")
            return {source: left, target: self._accounts[target].cents}

    @tool(effect="read")
    def balance(self, account: str) -> Account:
        """Tell what is on an account."""
        with self._runs.of("balance", account=account):
            return Account(**asdict(self._account(account)))

    @tool
    def close_account(self, account: str) -> str:
        """Close an account that is empty."""
        with self._runs.of("close_account", account=account):
            if self._account(account).cents:
                raise ValueError(f"{account} is not empty")
            del self._accounts[account]
            del self._paid[account]
            return f"{account} is closed"

    @tool(effect="read")
    async def list_accounts(self, kind: Kind | None = None) -> list[str]:
        """List the accounts, all or of one kind."""
        with self._runs.of("list_accounts", kind=kind):
            return sorted(n for n, a in self._accounts.items() if kind in (None, a.kind))

    def _account(self, name: str) -> Account:
        if name not in self._accounts:
            raise LookupError(f"no account {name}")
        return self._accounts[name]

    def _take(self, name: str, cents: int) -> int:
        account = self._account(name)
        if account.cents - cents < -(account.limit or 0):
            raise ValueError(f"not enough money on {name}")
        account.cents -= cents
        return account.cents


# --- the reference --------------------------------------------------------------------------------

START: dict[str, Any] = {
    "accounts": {
        "ann-checking": {"owner": "ann", "kind": "checking", "cents": 50_000, "limit": None},
        "bob-checking": {"owner": "bob", "kind": "checking", "cents": 1_000, "limit": 5_000},
        "bob-savings": {"owner": "bob", "kind": "savings", "cents": 90_000, "limit": None},
        "dora-savings": {"owner": "dora", "kind": "savings", "cents": 0, "limit": None},
    },
    "paid": {"ann-checking": [], "bob-checking": [], "bob-savings": [], "dora-savings": []},
}


def after(state: dict[str, Any], name: str, given: dict[str, Any]) -> Any:
    accounts, paid = state["accounts"], state["paid"]
    if name == "list_accounts":
        wanted = given["kind"]
        return sorted(n for n in accounts if wanted is None or n.endswith("-" + wanted))
    if name == "open_account":
        label = given["owner"] + "-" + given["kind"]
        if label in accounts:
            raise RefusedError(f"{label} is there already")
        accounts[label] = {**given, "cents": 0}
        paid[label] = []
        return {"account": label}
    for role in ("target", "account", "source"):
        if role in given and given[role] not in accounts:
            raise RefusedError(f"no account {given[role]}")
    return _after_known(state, name, given)


def _after_known(state: dict[str, Any], name: str, given: dict[str, Any]) -> Any:
    accounts, paid = state["accounts"], state["paid"]
    mine = given.get("account") or given["source"]
    cents = accounts[mine]["cents"]
    if name == "balance":
        return dict(accounts[mine])
    if name == "close_account":
        if cents != 0:
            raise RefusedError(f"{mine} is not empty")
        accounts.pop(mine)
        paid.pop(mine)
        return f"{mine} is closed"
    if name == "deposit":
        accounts[mine]["cents"] = cents + given["cents"]
        return cents + given["cents"]
    if cents + (accounts[mine]["limit"] or 0) < given["cents"]:
        raise RefusedError(f"not enough money on {mine}")
    accounts[mine]["cents"] = cents - given["cents"]
    if name == "withdraw":
        return cents - given["cents"]
    other = given["target"]
    accounts[other]["cents"] += given["cents"]
    paid[mine].append("{cents} to {target}: {note}".format(**given))
    return {mine: accounts[mine]["cents"], other: accounts[other]["cents"]}


def propose(rng: Random, state: dict[str, Any]) -> Op:
    known = [*state["accounts"], "nobody-savings"]
    one, two = rng.sample(known, 2)
    cents = rng.choice((1, 99, 250, 1_000, 7_777))
    owner, kind = rng.choice(OWNERS), rng.choice(KINDS)
    pair = {"source": one, "target": two, "cents": cents, **some(rng, note="rent, März")}
    kinds = some(rng, kind=kind)
    opened = f"{owner}-{kinds.get('kind', 'checking')}"
    me = {one}
    return rng.choice(
        (
            Op("open_account", {"owner": owner, **kinds, **some(rng, limit=500)}, {opened}),
            Op("deposit", {"account": one, "cents": cents}, me),
            Op("deposit", {"account": one, "cents": cents}, me),
            Op("withdraw", {"account": one, "cents": cents}, me),
            Op("transfer", pair, me | {two}),
            Op("transfer", pair, me | {two}),
            Op("balance", {"account": one}, reads=me),
            Op("close_account", {"account": one}, me),
            Op("list_accounts", some(rng, kind=kind), reads={EVERYTHING}),
        )
    )


BANK = WorldKind(
    name="bank",
    start=START,
    live=Bank,
    after=after,
    propose=propose,
    defaults={
        "open_account": {"kind": "checking", "limit": None},
        "deposit": {},
        "withdraw": {},
        "transfer": {"note": ""},
        "balance": {},
        "close_account": {},
        "list_accounts": {"kind": None},
    },
    choices={"open_account": "kind", "list_accounts": "kind"},
)

"""A shop with carts, stock and orders: functions of every kind behind one object."""

import functools
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from random import Random
from typing import Any, TypedDict

from pydantic import BaseModel
from support.tool_world import EVERYTHING, Op, RefusedError, Runs, WorldKind, some

from mbxai.tools import AsyncToolClient


class Payment(StrEnum):
    CARD = "card"
    INVOICE = "invoice"


@dataclass(frozen=True)
class Line:
    sku: str
    quantity: int = 1


class Address(BaseModel):
    street: str
    city: str


class Order(TypedDict):
    id: str
    total: str


class Shop:
    """Carts by customer, stock and prices by article, orders by id."""

    def __init__(self, start: dict[str, Any], runs: Runs) -> None:
        self.stock: dict[str, int] = dict(start["stock"])
        self.prices = {sku: Decimal(price) for sku, price in start["prices"].items()}
        self.carts: dict[str, dict[str, int]] = {n: dict(c) for n, c in start["carts"].items()}
        self.orders: dict[str, dict[str, Any]] = dict(start["orders"])
        self.runs = runs

    def register(self, client: AsyncToolClient, **options: Any) -> None:
        client.register_tool("add_to_cart", "Put articles into a cart.", self.add, **options)
        client.register_tool("remove_from_cart", "Take one out.", self.remove, **options)
        client.register_tool("checkout", "Order the cart.", self.checkout, **options)
        client.register_tool("restock", "Add to the stock.", self.restock, **options)
        # A partial and an object that can be called are tools as well as functions are.
        client.register_tool("stock", "Count.", functools.partial(_count, self), **options)
        client.register_tool("set_price", "Change a price.", SetPrice(self), **options)
        client.register_tool("cart", "Show a cart.", self.cart, **options)
        client.register_tool("empty_all_carts", "Empty the carts.", self.empty, **options)

    def state(self) -> dict[str, Any]:
        prices = {sku: str(price) for sku, price in self.prices.items()}
        return {
            "stock": self.stock,
            "prices": prices,
            "carts": self.carts,
            "orders": self.orders,
        }

    async def add(self, customer: str, lines: list[Line]) -> dict[str, int]:
        with self.runs.of("add_to_cart", customer=customer, lines=lines):
            for line in lines:
                self.known(line.sku)
            cart = self.carts.setdefault(customer, {})
            for line in lines:
                cart[line.sku] = cart.get(line.sku, 0) + line.quantity
            return dict(cart)

    def remove(self, customer: str, sku: str) -> int:
        with self.runs.of("remove_from_cart", customer=customer, sku=sku):
            if sku not in self.carts.get(customer, {}):
                raise LookupError(f"{customer} has no {sku} in the cart")
            return self.carts[customer].pop(sku)

    def checkout(
        self, customer: str, *, payment: Payment = Payment.CARD, address: Address | None = None
    ) -> Order:
        with self.runs.of("checkout", customer=customer, payment=payment, address=address):
            cart = self.carts.get(customer) or {}
            if not cart:
                raise ValueError(f"the cart of {customer} is empty")
            for sku, quantity in sorted(cart.items()):
                if self.stock[sku] < quantity:
                    raise ValueError(f"not enough {sku}")
            total = sum((self.prices[sku] * n for sku, n in cart.items()), Decimal())
            for sku, quantity in cart.items():
                self.stock[sku] -= quantity
            number = 1 + sum(name.startswith(f"{customer}-") for name in self.orders)
            city = address.city if address else None
            order = {"lines": cart, "total": str(total), "payment": payment.value, "city": city}
            self.orders[f"{customer}-{number}"] = order
            del self.carts[customer]
            return Order(id=f"{customer}-{number}", total=str(total))

    async def restock(self, sku: str, quantity: int = 10) -> int:
        with self.runs.of("restock", sku=sku, quantity=quantity):
            self.known(sku)
            self.stock[sku] += quantity
            return self.stock[sku]

    async def cart(self, customer: str) -> dict[str, int]:
        with self.runs.of("cart", customer=customer):
            return dict(self.carts.get(customer, {}))

    def empty(self) -> int:
        with self.runs.of("empty_all_carts"):
            count = len(self.carts)
            self.carts.clear()
            return count

    def known(self, sku: str) -> None:
        if sku not in self.stock:
            raise LookupError(f"no article {sku}")


def _count(shop: Shop, sku: str) -> int:
    with shop.runs.of("stock", sku=sku):
        shop.known(sku)
        return shop.stock[sku]


class SetPrice:
    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def __call__(self, sku: str, price: Decimal) -> dict[str, str]:
        """Change a price."""
        with self._shop.runs.of("set_price", sku=sku, price=price):
            self._shop.known(sku)
            self._shop.prices[sku] = price
            return {sku: str(price)}


# --- the reference --------------------------------------------------------------------------------

START: dict[str, Any] = {
    "stock": {"tea": 20, "cup": 3, "pot": 1},
    "prices": {"tea": "4.25", "cup": "7.00", "pot": "31.90"},
    "carts": {"ann": {"tea": 2}},
    "orders": {},
}
CUSTOMERS = ("ann", "bob", "cem", "dora")


def after(state: dict[str, Any], name: str, given: dict[str, Any]) -> Any:
    if name == "empty_all_carts":
        count, state["carts"] = len(state["carts"]), {}
        return count
    wanted = [line["sku"] for line in given.get("lines", ())] or [given.get("sku", "tea")]
    unknown = [sku for sku in wanted if sku not in state["stock"]]
    if unknown and name != "remove_from_cart":
        raise RefusedError(f"no article {unknown[0]}")
    if "customer" in given:
        return _after_buying(state, name, given)
    [sku] = wanted
    if name == "set_price":
        state["prices"][sku] = given["price"]
        return {sku: given["price"]}
    state["stock"][sku] += given.get("quantity", 0)
    return state["stock"][sku]


def _after_buying(state: dict[str, Any], name: str, given: dict[str, Any]) -> Any:
    customer, carts = given["customer"], state["carts"]
    cart = dict(carts.get(customer, {}))
    if name == "cart":
        return cart
    if name == "checkout":
        return _after_checkout(state, given, cart)
    if name == "remove_from_cart":
        if given["sku"] not in cart:
            raise RefusedError(f"{customer} has no {given['sku']} in the cart")
        return carts[customer].pop(given["sku"])
    for line in given["lines"]:
        cart[line["sku"]] = cart.get(line["sku"], 0) + line["quantity"]
    carts[customer] = cart
    return dict(cart)


def _after_checkout(state: dict[str, Any], given: dict[str, Any], cart: dict[str, int]) -> Any:
    customer, stock = given["customer"], state["stock"]
    if not cart:
        raise RefusedError(f"the cart of {customer} is empty")
    short = [sku for sku in sorted(cart) if cart[sku] > stock[sku]]
    if short:
        raise RefusedError(f"not enough {short[0]}")
    cents = sum(int(state["prices"][sku].replace(".", "")) * n for sku, n in cart.items())
    total = f"{cents // 100}.{cents % 100:02}"
    state["stock"] = {sku: n - cart.get(sku, 0) for sku, n in stock.items()}
    number = len([name for name in state["orders"] if name.split("-")[0] == customer]) + 1
    city = (given["address"] or {}).get("city")
    order = {"lines": cart, "total": total, "payment": given["payment"], "city": city}
    state["orders"][f"{customer}-{number}"] = order
    state["carts"].pop(customer)
    return {"id": f"{customer}-{number}", "total": total}


def propose(rng: Random, state: dict[str, Any]) -> Op:
    customer = rng.choice(CUSTOMERS)
    sku, other = rng.sample((*state["stock"], "tea", "kettle"), 2)
    lines = [{"sku": sku, **some(rng, quantity=rng.randint(1, 4))}, {"sku": other}]
    lines = lines[: rng.randint(1, 2)]
    bought = {*state["carts"].get(customer, {})}
    address = {"street": "Rue 1", "city": "Besançon"}
    paid = {"customer": customer, **some(rng, payment="invoice", address=address)}
    price = {"sku": sku, "price": rng.choice(("1.00", "19.99", "0.50"))}
    is_buyer = f"customer {customer}"
    return rng.choice(
        (
            Op("add_to_cart", {"customer": customer, "lines": lines}, {is_buyer}),
            Op("add_to_cart", {"customer": customer, "lines": lines}, {is_buyer}),
            Op("add_to_cart", {"customer": customer, "lines": lines}, {is_buyer}),
            Op("remove_from_cart", {"customer": customer, "sku": sku}, {is_buyer}),
            Op("checkout", paid, {is_buyer, *bought}),
            Op("checkout", paid, {is_buyer, *bought}),
            Op("restock", {"sku": sku, **some(rng, quantity=3)}, {sku}),
            Op("stock", {"sku": sku}, reads={sku}),
            Op("set_price", price, {sku}),
            Op("cart", {"customer": customer}, reads={is_buyer}),
            Op("empty_all_carts", {}, {EVERYTHING}),
        )
    )


SHOP = WorldKind(
    name="shop",
    start=START,
    live=Shop,
    after=after,
    propose=propose,
    defaults={
        "add_to_cart": {},
        "remove_from_cart": {},
        "checkout": {"payment": "card", "address": None},
        "restock": {"quantity": 10},
        "stock": {},
        "set_price": {},
        "cart": {},
        "empty_all_carts": {},
    },
    choices={"checkout": "payment"},
    nested={"lines": {"quantity": 1}},
)

"""All kinds of worlds."""

from support.tool_world import WorldKind
from support.tool_world_bank import BANK
from support.tool_world_calendar import CALENDAR
from support.tool_world_files import FILES
from support.tool_world_home import HOME
from support.tool_world_shop import SHOP
from support.tool_world_tickets import TICKETS

WORLDS: tuple[WorldKind, ...] = (BANK, FILES, CALENDAR, SHOP, TICKETS, HOME)

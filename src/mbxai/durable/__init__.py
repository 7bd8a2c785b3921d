"""Agent sessions as durable workflows of DBOS on Postgres: queues, schedules, takeover."""

from mbxai.durable._agent import AsyncDurableAgent
from mbxai.durable._schedules import DurableSchedule
from mbxai.durable._sync import DurableAgent

__all__ = ["AsyncDurableAgent", "DurableAgent", "DurableSchedule"]

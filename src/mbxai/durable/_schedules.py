"""What is started at times."""

from dataclasses import dataclass, field

from pydantic import BaseModel

from mbxai.agent import AgentOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableSchedule:
    """A prompt that starts a new session at times.

    Attributes:
        name: Its name; a worker that is started with another schedule of this name replaces it.
        cron: When, as a cron expression: minute, hour, day of the month, month, day of the week;
            with six fields the first one is the second.
        prompt: What is to be achieved.
        final_response_structure: Pydantic model of the final response.
        options: Further arguments of `start()`, without `agent_id`.
        timezone: IANA name of the time zone, such as "Europe/Vienna"; None: UTC.
        catch_up: Whether what was missed while no worker ran is started afterwards.
    """

    name: str
    cron: str
    prompt: str
    final_response_structure: type[BaseModel]
    options: AgentOptions = field(default_factory=AgentOptions)
    timezone: str | None = None
    catch_up: bool = False

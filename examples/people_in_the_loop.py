"""Let an agent ask people: a question, a decision, and a login to Jira.

    python examples/people_in_the_loop.py
    python examples/people_in_the_loop.py --async

Needs OPENROUTER_API_KEY. At a terminal you are asked, otherwise canned answers are given. The token
reaches the tool and nothing else: the model sees `secret://jira_auth/auth_token`.
"""

import asyncio
import sys
from getpass import getpass

from pydantic import BaseModel, Field

from mbxai import (
    AgentClient,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    DialogOption,
    HumanInLoopRequest,
    HumanInLoopResponse,
    HumanInteractionType,
    OpenRouterClient,
    Secret,
    ToolClient,
)

PROMPT = "Summarise the Jira story PROJ-123 from https://company.atlassian.net"
JIRA = DialogOption(id="jira_auth", title="Jira", description="Log in to Atlassian Jira")


class JiraSummary(BaseModel):
    """What the agent answers with."""

    title: str = Field(description="Story title")
    status: str = Field(description="Current status")
    summary: str


def fetch_jira_story(story_id: str, auth_token: Secret) -> dict[str, str]:
    """Fetch a Jira story."""
    if not auth_token.reveal().startswith("oauth_"):
        raise PermissionError("Jira refused the token")
    return {"id": story_id, "title": "Implement user authentication", "status": "In Progress"}


def blocking() -> None:
    with OpenRouterClient(model="openai/gpt-4.1") as openrouter:
        agent = AgentClient(ToolClient(openrouter), human_in_loop=True, dialog_options=[JIRA])
        agent.register_tool("fetch_jira_story", "Fetch a Jira story", fetch_jira_story)
        response = agent.agent(PROMPT, JiraSummary)
        while requests := response.human_interaction_requests:
            answers = [answer_to(request) for request in requests]
            response = agent.agent(
                "", JiraSummary, agent_id=response.agent_id, human_response=answers
            )
        print(response.final_response)


async def awaited() -> None:
    async with AsyncOpenRouterClient(model="openai/gpt-4.1") as openrouter:
        tools = AsyncToolClient(openrouter)
        agent = AsyncAgentClient(tools, human_in_loop=True, dialog_options=[JIRA])
        agent.register_tool("fetch_jira_story", "Fetch a Jira story", fetch_jira_story)
        response = await agent.agent(PROMPT, JiraSummary)
        while requests := response.human_interaction_requests:
            answers = [await asyncio.to_thread(answer_to, request) for request in requests]
            response = await agent.agent(
                "", JiraSummary, agent_id=response.agent_id, human_response=answers
            )
        print(response.final_response)


def answer_to(request: HumanInLoopRequest) -> HumanInLoopResponse:
    print(request.prompt)
    answer = HumanInLoopResponse(interaction_id=request.id, response_type=request.interaction_type)
    asks = sys.stdin.isatty()
    match request.interaction_type:
        case HumanInteractionType.QUESTION:
            answer.answer = input("> ") if asks else "In two sentences, please."
        case HumanInteractionType.DECISION:
            options = "/".join(request.options)
            answer.decision = input(f"{options} > ") if asks else request.options[0]
        case HumanInteractionType.DIALOG_OPTION:
            token = getpass("Token: ") if asks else "oauth_token_abc123"
            answer.dialog_option_id = request.dialog_options[0].id
            answer.credentials = {"auth_token": token}
    return answer


if __name__ == "__main__":
    if "--async" in sys.argv:
        asyncio.run(awaited())
    else:
        blocking()

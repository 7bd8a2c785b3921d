"""The server under test: `server.py PORT`, with what the scenarios ask for by name.

It goes through mbxai's public server only, as an application would.
"""

import asyncio
import sys
import zlib
from pathlib import Path
from typing import Annotated, Any, Literal

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src")]

import anyio  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402

from mbxai import audio_part  # noqa: E402
from mbxai.errors import ToolError  # noqa: E402
from mbxai.mcp.server import EmbeddedResource, MCPContext, MCPServer  # noqa: E402

server = MCPServer(
    "mbxai-conformance",
    "What the conformance scenarios ask for.",
    version="1.0.0",
    resumable=True,
    cache_seconds={"tools": 1, "resources": 1, "prompts": 1, "read": 1},
)


def red_pixel() -> bytes:
    """A picture of one red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    head = bytes.fromhex("00000001000000010802000000")
    pixels = zlib.compress(bytes([0, 255, 0, 0]))
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def silence() -> bytes:
    """A sound of no samples."""
    head = bytes.fromhex("1000000001000100401f0000401f000001000800")
    return b"RIFF\x24\x00\x00\x00WAVEfmt " + head + b"data\x00\x00\x00\x00"


# --- tools that answer by themselves


@server.tool
def test_simple_text() -> str:
    """Return a simple text."""
    return "This is a simple text response for testing."


@server.tool
def test_image_content() -> bytes:
    """Return a picture."""
    return red_pixel()


@server.tool
def test_audio_content() -> Any:
    """Return a sound."""
    return audio_part(silence(), format="wav")


@server.tool
def test_embedded_resource() -> EmbeddedResource:
    """Return a resource."""
    return EmbeddedResource(
        uri="test://embedded-resource", text="This is an embedded resource content."
    )


@server.tool
def test_multiple_content_types() -> list[Any]:
    """Return a text, a picture and a resource."""
    resource = EmbeddedResource(
        uri="test://mixed-content-resource",
        mime_type="application/json",
        text='{"test":"data","value":123}',
    )
    return ["Multiple content types test:", red_pixel(), resource]


@server.tool
def test_error_handling() -> str:
    """Fail on purpose."""
    raise ToolError("This tool intentionally returns an error for testing")


@server.tool
async def test_tool_with_logging(context: MCPContext) -> str:
    """Log three times."""
    await context.log("info", "Tool execution started")
    await anyio.sleep(0.05)
    await context.log("info", "Tool processing data")
    await anyio.sleep(0.05)
    await context.log("info", "Tool execution completed")
    return "Logged three times."


@server.tool
async def test_logging_tool(context: MCPContext) -> str:
    """Log once."""
    await context.log("info", "Only for who asked for it")
    return "Logged once."


@server.tool
async def test_tool_with_progress(context: MCPContext) -> str:
    """Tell of progress three times."""
    for fraction in (0.0, 0.5, 1.0):
        context.report(f"{fraction:.0%}", fraction)
        await anyio.sleep(0.05)
    return "Told of progress three times."


@server.tool
async def test_reconnection(context: MCPContext) -> str:
    """Hang up in the middle; the client comes back for the answer."""
    await context.close_stream()
    await anyio.sleep(0.2)
    return "The client came back."


SCHEMA_2020_12 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def json_schema_2020_12_tool(**arguments: Any) -> str:
    """Tool with JSON Schema 2020-12 features."""
    return f"Called with {', '.join(arguments) or 'nothing'}."


server.register(json_schema_2020_12_tool, schema=SCHEMA_2020_12)


@server.tool
def test_x_mcp_header(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
) -> str:
    """Take an argument that is repeated in a header."""
    return f"region={region}"


# --- tools that ask the client


@server.tool
async def test_sampling(prompt: str, context: MCPContext) -> str:
    """Ask the client's model."""
    answer = await context.sample(prompt, max_tokens=100)
    return f"LLM response: {answer.text}"


class Agreement(BaseModel):
    ok: bool


class Contact(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


@server.tool
async def test_elicitation(message: str, context: MCPContext) -> str:
    """Ask the client's user."""
    answer = await context.elicit(message, Contact)
    return f"User response: action={answer.action}, content={dict(answer.content)}"


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


@server.tool
async def test_elicitation_sep1034_defaults(context: MCPContext) -> str:
    """Ask with values that are there already."""
    answer = await context.elicit("Please review the values", Defaults)
    return f"Elicitation completed: action={answer.action}, content={dict(answer.content)}"


def titled(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in pairs]


PLAIN = ["option1", "option2", "option3"]
ENUMS = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": PLAIN},
        "titledSingle": {
            "type": "string",
            "oneOf": titled(
                ("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option")
            ),
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": PLAIN}},
        "titledMulti": {
            "type": "array",
            "items": {
                "anyOf": titled(
                    ("value1", "First Choice"),
                    ("value2", "Second Choice"),
                    ("value3", "Third Choice"),
                )
            },
        },
    },
}


@server.tool
async def test_elicitation_sep1330_enums(context: MCPContext) -> str:
    """Ask for choices of every kind."""
    answer = await context.elicit("Please choose", ENUMS)
    return f"Elicitation completed: action={answer.action}, content={dict(answer.content)}"


@server.tool
async def test_streaming_elicitation(context: MCPContext) -> str:
    """Tell of progress, then ask."""
    context.report("about to ask", 0.5)
    return (await context.elicit("Please go on", Agreement)).action


@server.tool
async def test_missing_capability(context: MCPContext) -> str:
    """Need the client's model."""
    return (await context.sample("Say hello.", max_tokens=10)).text


class Name(BaseModel):
    name: str


class Colour(BaseModel):
    color: str


@server.tool
async def test_input_required_result_elicitation(context: MCPContext) -> str:
    """Ask for a name."""
    answer = await context.elicit("What is your name?", Name, key="user_name")
    return f"Hello, {answer.content.get('name', 'stranger')}!"


@server.tool
async def test_input_required_result_sampling(context: MCPContext) -> str:
    """Ask for a capital."""
    question = "What is the capital of France?"
    return (await context.sample(question, max_tokens=100, key="capital_question")).text


@server.tool
async def test_input_required_result_list_roots(context: MCPContext) -> str:
    """Ask for the client's roots."""
    return "\n".join(root.uri for root in await context.list_roots(key="client_roots"))


@server.tool
async def test_input_required_result_request_state(context: MCPContext) -> str:
    """Ask for a confirmation, and keep something meanwhile."""
    await context.elicit("Please confirm", Agreement, key="confirm", state="state-ok")
    return f"Confirmed: {context.state}"


@server.tool
async def test_input_required_result_tampered_state(context: MCPContext) -> str:
    """Ask for a confirmation, and keep something meanwhile."""
    await context.elicit("Please confirm", Agreement, key="confirm", state="untouched")
    return context.state


@server.tool
async def test_input_required_result_multiple_inputs(context: MCPContext) -> str:
    """Ask three things at once."""
    name, greeting, roots = await asyncio.gather(
        context.elicit("What is your name?", Name, key="user_name"),
        context.sample("Generate a greeting", max_tokens=50, key="greeting"),
        context.list_roots(key="client_roots"),
    )
    return f"{greeting.text} {name.content.get('name')} ({len(roots)} roots)"


@server.tool
async def test_input_required_result_multi_round(context: MCPContext) -> str:
    """Ask one thing after the other."""
    name = await context.elicit("Step 1: What is your name?", Name, key="step1")
    colour = await context.elicit("Step 2: What is your favorite color?", Colour, key="step2")
    return f"{name.content.get('name')} likes {colour.content.get('color')}."


@server.tool
async def test_input_required_result_capabilities(context: MCPContext) -> str:
    """Ask what the client can answer, and nothing else."""
    told: list[str] = []
    if context.can("sample"):
        told.append((await context.sample("Say hello.", max_tokens=10)).text)
    if context.can("elicit"):
        told.append((await context.elicit("What is your name?", Name)).action)
    return " ".join(told)


# --- tools that change what is offered


@server.tool
async def test_trigger_tool_change() -> str:
    """Add a tool, or take it away again."""

    def test_dynamic_tool() -> str:
        """Come and go."""
        return "here"

    if not server.remove_tool("test_dynamic_tool"):
        await server.add_tool(test_dynamic_tool)
    return "The list of tools has changed."


@server.tool
async def test_trigger_prompt_change() -> str:
    """Add a prompt, or take it away again."""

    def test_dynamic_prompt() -> str:
        """Come and go."""
        return "here"

    if not server.remove_prompt("test_dynamic_prompt"):
        server.prompt(test_dynamic_prompt)
    return "The list of prompts has changed."


# --- resources


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """A picture."""
    return red_pixel()


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> dict[str, Any]:  # noqa: A002
    """Data of an id."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


@server.resource("test://watched-resource", mime_type="text/plain")
def watched_resource() -> str:
    """A text that changes."""
    return "Watched resource content."


# --- prompts


@server.prompt
def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@server.prompt
def test_prompt_with_arguments(
    arg1: Annotated[str, Field(description="First test argument")],
    arg2: Annotated[str, Field(description="Second test argument")],
) -> str:
    """A prompt with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt
def test_prompt_with_embedded_resource(
    resourceUri: Annotated[str, Field(description="URI of the resource to embed")],  # noqa: N803
) -> list[Any]:
    """A prompt with a resource."""
    resource = EmbeddedResource(uri=resourceUri, text="Embedded resource content for testing.")
    return [resource, "Please process the embedded resource above."]


@server.prompt
def test_prompt_with_image() -> list[Any]:
    """A prompt with a picture."""
    return [red_pixel(), "Please analyze the image above."]


class Circumstances(BaseModel):
    context: str


@server.prompt
async def test_input_required_result_prompt(context: MCPContext) -> str:
    """A prompt that asks."""
    question = "What context should the prompt use?"
    answer = await context.elicit(question, Circumstances, key="user_context")
    return f"Use this context: {answer.content.get('context')}"


@server.completion("test_prompt_with_arguments", "arg1")
def complete_arg1(value: str) -> list[str]:
    """Suggest words."""
    return [word for word in ("paris", "park", "party") if word.startswith(value)]


if __name__ == "__main__":
    server.run_http_sync(port=int(sys.argv[1]))

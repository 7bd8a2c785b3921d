"""What is answered to each request of the protocol: plain JSON, which its package checks."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from mbxai.errors import ConfigurationError, MCPError, ToolError
from mbxai.mcp.serving._approvals import TakenRounds, approval_refusal
from mbxai.mcp.serving._bearer import missing_scopes
from mbxai.mcp.serving._blocks import result_blocks
from mbxai.mcp.serving._context import MCPContext
from mbxai.mcp.serving._conversations import prompt_messages
from mbxai.mcp.serving._exchange import MissingAbilityError, PausedError, is_pause
from mbxai.mcp.serving._failures import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    RESOURCE_NOT_FOUND,
    ServingError,
    function_failure,
    is_stateless,
    missing_capability,
)
from mbxai.mcp.serving._features import Features
from mbxai.mcp.serving._live import LiveExchange, ProgressPump
from mbxai.mcp.serving._served_tools import tool_schema
from mbxai.mcp.serving._serving import serving_of
from mbxai.tools import Tool
from mbxai.tools.runner._progress import RunControl, ToolListener
from mbxai.wire import ToolResult

if TYPE_CHECKING:  # slow to load
    from mcp.server import ServerRequestContext

_MAX_SHOWN: Final = 200
_HINTS: Final[Mapping[str, Mapping[str, bool]]] = {
    "read": {"readOnlyHint": True, "idempotentHint": True},
    "idempotent": {"readOnlyHint": False, "idempotentHint": True},
    "once": {},
}


class Handlers:
    """The answers of one server."""

    def __init__(self, features: Features) -> None:
        """Take what is offered.

        Args:
            features: What the server offers; also what is added later.
        """
        self._features = features
        self._taken = TakenRounds()

    async def list_tools(self, context: "ServerRequestContext[Any]", params: Any) -> dict[str, Any]:
        """Answer `tools/list`."""
        del context, params
        tools = self._features.tools
        return {"tools": [self._listed(tool) for tool in tools.registry.tools()]}

    async def call_tool(self, context: "ServerRequestContext[Any]", params: Any) -> dict[str, Any]:
        """Answer `tools/call`."""
        name = str(params.name)
        tools = self._features.tools
        if name not in tools.registry:
            raise ServingError(INVALID_PARAMS, f"There is no tool {name[:_MAX_SHOWN]!r}.")
        exchange = LiveExchange(context, params)
        wanted = tools.shown(name).scopes
        # The HTTP guard has refused such calls before; this is for whoever comes another way.
        if exchange.token is not None and (lacking := missing_scopes(exchange.token, wanted)):
            raise ServingError(
                INVALID_PARAMS, f"insufficient_scope: {name} needs {' '.join(lacking)}."
            )
        tool = tools.registry.get(name)
        if tool is not None and tool.effect == "once" and not self._taken.take(exchange.round):
            raise ServingError(
                INVALID_PARAMS,
                "This requestState was used before, and the tool may not do its work twice.",
            )
        run = partial(self._run_tool, exchange, context, name, params.arguments or {})
        result = await _with_progress(exchange, context, run)
        if exchange.asked:
            return exchange.input_required()
        if exchange.missing is not None and is_stateless(exchange.protocol_version):
            raise missing_capability(exchange.missing)
        result = tools.checked(result)
        answer: dict[str, Any] = {"content": result_blocks(result), "isError": result.is_error}
        structured = tools.structured(result)
        if structured is not None:
            answer["structuredContent"] = structured
        return answer

    async def list_resources(
        self, context: "ServerRequestContext[Any]", params: Any
    ) -> dict[str, Any]:
        """Answer `resources/list`."""
        del context, params
        return {"resources": self._features.resources.listed(templates=False)}

    async def list_templates(
        self, context: "ServerRequestContext[Any]", params: Any
    ) -> dict[str, Any]:
        """Answer `resources/templates/list`."""
        del context, params
        return {"resourceTemplates": self._features.resources.listed(templates=True)}

    async def read_resource(
        self, context: "ServerRequestContext[Any]", params: Any
    ) -> dict[str, Any]:
        """Answer `resources/read`."""
        uri = str(params.uri)
        found = self._features.resources.find(uri)
        if found is None:
            code = INVALID_PARAMS if is_stateless(context.protocol_version) else RESOURCE_NOT_FOUND
            raise ServingError(code, "Resource not found", {"uri": uri})
        resource, values = found

        async def read(own: MCPContext[Any]) -> dict[str, Any]:
            value = await resource.function(values, own)
            return {"contents": resource.contents(uri, value)}

        return await self._asking(context, params, resource.name, read)

    async def subscribe(self, context: "ServerRequestContext[Any]", params: Any) -> dict[str, Any]:
        """Answer `resources/subscribe`."""
        serving_of(context).follow(context.session, str(params.uri))
        return {}

    async def unsubscribe(
        self, context: "ServerRequestContext[Any]", params: Any
    ) -> dict[str, Any]:
        """Answer `resources/unsubscribe`."""
        serving_of(context).unfollow(context.session, str(params.uri))
        return {}

    async def list_prompts(
        self, context: "ServerRequestContext[Any]", params: Any
    ) -> dict[str, Any]:
        """Answer `prompts/list`."""
        del context, params
        return {"prompts": self._features.prompts.listed()}

    async def get_prompt(self, context: "ServerRequestContext[Any]", params: Any) -> dict[str, Any]:
        """Answer `prompts/get`."""
        prompt = self._features.prompts.get(str(params.name))
        if prompt is None:
            raise ServingError(
                INVALID_PARAMS, f"There is no prompt {str(params.name)[:_MAX_SHOWN]!r}."
            )

        async def get(own: MCPContext[Any]) -> dict[str, Any]:
            value = await prompt.function(params.arguments or {}, own)
            answer: dict[str, Any] = {"messages": prompt_messages(value)}
            return {**answer, "description": prompt.description} if prompt.description else answer

        return await self._asking(context, params, prompt.name, get)

    async def complete(self, context: "ServerRequestContext[Any]", params: Any) -> dict[str, Any]:
        """Answer `completion/complete`."""
        argument = {"name": params.argument.name, "value": params.argument.value}
        known: Any = params.context.arguments if params.context is not None else None
        others = cast("dict[str, str]", known or {})
        own = self._features.context(LiveExchange(context, params), name=argument["name"])
        reference = params.ref.model_dump(by_alias=True, mode="json")
        found = await self._features.completions.complete(reference, argument, others, own)
        return {"completion": found}

    async def set_level(self, context: "ServerRequestContext[Any]", params: Any) -> dict[str, Any]:
        """Answer `logging/setLevel`."""
        serving_of(context).set_level(context.session, params.level)
        return {}

    async def listen(self, context: "ServerRequestContext[Any]", params: Any) -> Any:
        """Answer `subscriptions/listen`; the answer ends with the subscription."""
        return await serving_of(context).listen(context, params)

    async def initialized(self, context: "ServerRequestContext[Any]", params: Any) -> None:
        """Take `notifications/initialized`."""
        del params
        serving_of(context).open(context.session)

    def _listed(self, tool: Tool) -> dict[str, Any]:
        shown = self._features.tools.shown(tool.name)
        hints: dict[str, Any] = dict(_HINTS[tool.effect])
        if shown.title:
            hints["title"] = shown.title
        known: dict[str, Any] = {
            "name": tool.name,
            "title": shown.title,
            "description": tool.description,
            "inputSchema": tool_schema(tool),
            "outputSchema": None if shown.output is None else shown.output.schema,
            "annotations": hints,
        }
        return {key: value for key, value in known.items() if value}

    async def _run_tool(
        self,
        exchange: LiveExchange,
        context: "ServerRequestContext[Any]",
        name: str,
        arguments: Mapping[str, Any],
        listener: ToolListener | None,
    ) -> ToolResult:
        call_id = str(context.request_id or "")
        approve = partial(approval_refusal, exchange)
        while True:
            own = self._features.context(
                exchange,
                can_pause=exchange.can("elicit") or exchange.can("elicit_url"),
                answer=exchange.answer,
                idempotency_key=exchange.call_key,
            )
            try:
                result = await self._features.tools.run(
                    name,
                    arguments,
                    call_id=call_id,
                    context=own,
                    listener=listener,
                    approve=approve,
                )
            except PausedError:  # the person is asked whether it may run at all
                return _refused(call_id, name, "")
            if result.question is None or exchange.asked:
                return result
            try:
                answer = await exchange.ask_for_result(result.question)
            except MissingAbilityError as error:
                return _refused(call_id, name, error.message)
            except MCPError as error:
                return _refused(call_id, name, str(error))
            if answer is None:
                return result
            exchange.answer = answer

    async def _asking(
        self,
        context: "ServerRequestContext[Any]",
        params: Any,
        label: str,
        work: Callable[[MCPContext[Any]], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """Answer by a function that may ask the client something."""
        exchange = LiveExchange(context, params)

        async def run(listener: ToolListener | None) -> dict[str, Any]:
            control = RunControl(str(context.request_id or ""), label, listener, str)
            own = self._features.context(
                exchange, name=label, idempotency_key=exchange.call_key, _run=control
            )
            try:
                return await work(own)
            finally:
                control.stop()
                control.end()

        try:
            answer = await _with_progress(exchange, context, run)
        except (ConfigurationError, ToolError) as error:
            raise function_failure(label, error) from error
        except BaseException as error:
            if not is_pause(error):
                raise
            answer = {}
        return exchange.input_required() if exchange.asked else answer


def _refused(call_id: str, name: str, reason: str) -> ToolResult:
    return ToolResult(call_id=call_id, name=name, content=reason, is_error=True)


async def _with_progress(
    exchange: LiveExchange,
    context: "ServerRequestContext[Any]",
    work: Callable[[ToolListener | None], Awaitable[Any]],
) -> Any:
    if not exchange.wants_progress:
        return await work(None)
    pump = ProgressPump(context.session)
    return await pump.around(partial(work, pump))


async def answered(
    handler: Callable[["ServerRequestContext[Any]", Any], Awaitable[Any]],
    context: "ServerRequestContext[Any]",
    params: Any,
) -> Any:
    """Answer a request, with our failures as the protocol's.

    Args:
        handler: Answers it.
        context: The request's context, as the protocol's package gives it.
        params: Its parameters, as that package's model.
    """
    from mcp import MCPError as ProtocolError

    try:
        answer: Any = await handler(context, params)
    except ServingError as error:
        raise ProtocolError(error.code, error.message, error.data) from error
    except MCPError as error:
        raise ProtocolError(INTERNAL_ERROR, str(error)) from error
    if is_stateless(context.protocol_version) and isinstance(answer, dict):
        return {"resultType": "complete", **cast("dict[str, Any]", answer)}
    return answer

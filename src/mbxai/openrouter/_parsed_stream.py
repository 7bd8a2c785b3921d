"""A streamed answer that becomes a value of the caller's type."""

from collections.abc import AsyncGenerator
from typing import Generic, TypeVar, cast

from mbxai.errors import InvalidResponseError
from mbxai.openrouter._completions import ensure_call_ids
from mbxai.openrouter._event_reader import EventReader
from mbxai.openrouter._ladder import Strategy
from mbxai.openrouter._partial import PartialParser
from mbxai.openrouter._stream import AsyncChatStream
from mbxai.openrouter._structured import parsed_value
from mbxai.wire import ChatCompletion, ParsedChatCompletion
from mbxai.wire._output_type import OutputType

T = TypeVar("T")
ItemT = TypeVar("ItemT")


class AsyncParsedChatStream(AsyncChatStream, Generic[T]):
    """A streamed answer whose text is JSON of the caller's type."""

    def __init__(
        self, reader: EventReader, output_type: OutputType[T], strategy: Strategy = "json_schema"
    ) -> None:
        """Take over an open answer; `AsyncOpenRouterClient.stream` does this."""
        super().__init__(reader)
        self._output_type = output_type
        self._strategy: Strategy = strategy
        self._items = PartialParser(output_type)

    @property
    def output_type(self) -> OutputType[T]:
        """What the answer is validated against."""
        return self._output_type

    async def partials(self) -> AsyncGenerator[T]:
        """Give the value as it grows, valid as far as it has arrived; reads the stream.

        A value comes as soon as every required field has begun; strings and lists may still grow.
        The last value is whole. What was read of the stream before counts, so the first value may
        hold much already; of a long answer not every piece makes a value.

        Raises:
            OutputError: The whole answer is no such value.
            OpenRouterError: As for iterating.
        """
        parser = PartialParser(self._output_type)
        last: T | None = None
        has_more = True
        while has_more:
            if (value := parser.feed(self._assembly.builder.text)) is not None:
                last = value
                yield value
            has_more = await anext(self, None) is not None
        whole = (await self.get_final_completion()).choices[0].message.parsed
        if whole is not None and whole != last:
            yield whole

    async def items(self: "AsyncParsedChatStream[list[ItemT]]") -> AsyncGenerator[ItemT]:
        """Give each item of a list as soon as it is whole; reads the stream.

        For `response_format=list[Item]` each value is an `Item`. Items of what was read of the
        stream before come first; a second call gives what is left.

        Raises:
            OutputError: The whole answer is no such list.
            OpenRouterError: As for iterating.
        """
        parser, has_more = self._items, True
        while has_more:
            for item in parser.take_items(self._assembly.builder.text):
                yield item
            has_more = await anext(self, None) is not None
        await self.get_final_completion()

    async def get_final_completion(self) -> ParsedChatCompletion[T]:
        """Read what is left of the stream and return the whole answer with its value.

        Raises:
            OutputError: The answer is no such value.
            OpenRouterError: As for iterating.
        """
        return self.parsed(await super().get_final_completion())

    def parsed(self, completion: ChatCompletion) -> ParsedChatCompletion[T]:
        """Return a whole answer with its value; there is none where it only calls tools.

        Args:
            completion: What the chunks of this stream add up to.

        Raises:
            InvalidResponseError: The answer has no choices.
            OutputError: The answer is no such value.
        """
        if not completion.choices:
            raise InvalidResponseError("The answer has no choices.", **self._assembly.origin())
        # Not subscripted at run time, where pydantic would build a class for each type.
        kind = cast("type[ParsedChatCompletion[T]]", ParsedChatCompletion)
        parsed = kind.from_object(completion.to_dict())
        ensure_call_ids(parsed)
        parsed.set_response(completion.response)
        message = parsed.choices[0].message
        message.parsed = cast("T", None)  # a server may send a field of this name
        parsed.set_outcome(strategy=self._strategy)
        if not message.tool_calls or message.content:  # else a tool of the caller's comes first
            value, repaired = parsed_value(completion, self._output_type)
            message.set_parsed(value, repaired=repaired)
        return parsed

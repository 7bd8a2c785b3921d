"""A tracer provider of OpenTelemetry's interface that keeps what spans were told, as text."""

from typing import Any

from opentelemetry import trace


class Recorder(trace.TracerProvider):
    """Keeps every word that a span is given.

    Attributes:
        texts: Names, attributes, events and errors, in order.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []

    def get_tracer(self, *_args: Any, **_kwargs: Any) -> trace.Tracer:
        return _Tracer(self.texts)


class _Tracer(trace.Tracer):
    def __init__(self, texts: list[str]) -> None:
        self._texts = texts

    def start_span(self, name: str, *args: Any, **kwargs: Any) -> trace.Span:
        self._texts.append(f"{name} {args} {kwargs}")
        return _Span(self._texts)

    def start_as_current_span(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return trace.use_span(self.start_span(name, *args, **kwargs), end_on_exit=True)


class _Span(trace.Span):
    def __init__(self, texts: list[str]) -> None:
        self._texts = texts

    def _note(self, *said: object) -> None:
        self._texts.append(" ".join(map(repr, said)))

    def end(self, end_time: int | None = None) -> None:
        self._note("end")

    def get_span_context(self) -> trace.SpanContext:
        return trace.SpanContext(1, 1, is_remote=False)

    def set_attributes(self, attributes: Any) -> None:
        self._note(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        self._note(key, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        self._note(name, attributes)

    def update_name(self, name: str) -> None:
        self._note(name)

    def is_recording(self) -> bool:
        return True

    def set_status(self, status: Any, description: str | None = None) -> None:
        self._note(status, description)

    def record_exception(self, exception: BaseException, *args: Any, **kwargs: Any) -> None:
        self._note(exception, args, kwargs)

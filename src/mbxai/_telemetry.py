"""Spans of OpenTelemetry where the application has set it up, and nothing at all where it has not.

The library is imported only if the application has imported it already, or names a tracer provider
in the environment; so whoever does not trace pays for one look into a dictionary.
"""

import os
import re
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from mbxai._version import __version__

if TYPE_CHECKING:
    from opentelemetry import trace

Value: TypeAlias = str | bool | int | float | Sequence[str]
"""What an attribute may be."""

Kind: TypeAlias = Literal["internal", "client"]
"""Whether the work is done here, or by a service that is asked."""

_LIBRARY: Final = "opentelemetry.trace"
_PROVIDER: Final = "OTEL_PYTHON_TRACER_PROVIDER"
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])")


class Span:
    """A span, or nothing; an error is recorded by its type, for its message may hold a secret."""

    __slots__ = ("_span", "_tracer")

    def __init__(
        self, tracer: "trace.Tracer | None" = None, span: "trace.Span | None" = None
    ) -> None:
        """Take a span that has begun; without one nothing is recorded."""
        self._tracer = tracer
        self._span = span

    @property
    def is_recording(self) -> bool:
        """Whether anybody will see the span."""
        return self._span is not None and self._span.is_recording()

    def child(
        self, name: str, attributes: Mapping[str, Value], *, kind: Kind = "internal"
    ) -> "Span":
        """Begin a span inside of this one.

        Args:
            name: What is done.
            attributes: What is known of it.
            kind: Where it is done.
        """
        if self._tracer is None or self._span is None:
            return self
        return _begun(self._tracer, name, attributes, kind, parent=self._span)

    def put(self, attributes: Mapping[str, Value]) -> None:
        """Say more about what is done.

        Args:
            attributes: What has become known.
        """
        if self._span is not None:
            self._span.set_attributes(attributes)

    def fail(self, error_type: str) -> None:
        """Say that it failed.

        Args:
            error_type: Name of the error's class, or another word for it.
        """
        if self._span is None:
            return
        from opentelemetry.trace import StatusCode  # optional

        self._span.set_attribute("error.type", error_type)
        self._span.set_status(StatusCode.ERROR)

    def end(self) -> None:
        """End the span; the second time is harmless."""
        if self._span is not None and self._span.is_recording():
            self._span.end()

    @contextmanager
    def current(self) -> Generator[None]:
        """Make this the span inside of which others begin, and end it after the block.

        What the block raises is recorded by its type and raised on.
        """
        if self._span is None:
            yield
            return
        from opentelemetry.trace import use_span  # optional

        try:
            with use_span(self._span, record_exception=False, set_status_on_exception=False):
                yield
        except BaseException as error:
            self.fail(type(error).__name__)
            raise
        finally:
            self.end()


NOTHING: Final = Span()
"""The span that records nothing."""


def begun(
    name: str, attributes: Mapping[str, Value], *, kind: Kind = "internal", traceparent: str = ""
) -> Span:
    """Begin a span inside of the one that is current.

    Args:
        name: What is done.
        attributes: What is known of it.
        kind: Where it is done.
        traceparent: What `current_traceparent()` was where this was asked for, maybe in another
            process. The span is inside of it where none is current here, else it has a link to it.

    Returns:
        The span; `NOTHING` where nobody traces.
    """
    tracer = _tracer()
    if tracer is None:
        return NOTHING
    return _begun(tracer, name, attributes, kind, parent=None, traceparent=traceparent)


def current_traceparent() -> str:
    """Return the current span for whoever goes on elsewhere: a W3C `traceparent`, or nothing.

    It names a trace and a span and holds nothing else; `tracestate` and baggage stay where they
    are. Source of the shape: https://www.w3.org/TR/trace-context/.
    """
    if _tracer() is None:
        return ""
    from opentelemetry import trace  # optional

    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ""
    span_id, trace_id = f"{context.span_id:016x}", f"{context.trace_id:032x}"
    return f"00-{trace_id}-{span_id}-{context.trace_flags & 1:02x}"


def _tracer() -> "trace.Tracer | None":
    if _LIBRARY not in sys.modules and not os.environ.get(_PROVIDER):
        return None
    try:
        from opentelemetry import trace  # optional
    except ImportError:
        return None
    # Until the application sets a provider, the library's own stands in and records nothing.
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    return trace.get_tracer("mbxai", __version__)


def _context_of(text: str) -> "trace.SpanContext | None":
    """Read what `current_traceparent()` gave; whatever else came from a store is none."""
    from opentelemetry import trace  # optional

    found = _TRACEPARENT.fullmatch(text)
    if found is None:
        return None
    context = trace.SpanContext(
        trace_id=int(found[1], 16),
        span_id=int(found[2], 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(found[3], 16)),
    )
    return context if context.is_valid else None


def _begun(
    tracer: "trace.Tracer",
    name: str,
    attributes: Mapping[str, Value],
    kind: Kind,
    *,
    parent: "trace.Span | None",
    traceparent: str = "",
) -> Span:
    from opentelemetry import trace  # optional

    links: list[trace.Link] = []
    if (found := _context_of(traceparent)) is not None:
        if trace.get_current_span().get_span_context().is_valid:
            links.append(trace.Link(found))
        else:
            parent = trace.NonRecordingSpan(found)
    span = tracer.start_span(
        name,
        context=None if parent is None else trace.set_span_in_context(parent),
        kind=trace.SpanKind.CLIENT if kind == "client" else trace.SpanKind.INTERNAL,
        attributes=attributes,
        links=links,
    )
    return Span(tracer, span)

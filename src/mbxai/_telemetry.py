"""Spans of OpenTelemetry where the application has set it up, and nothing at all where it has not.

The library is imported only if the application has imported it already, or names a tracer provider
in the environment; so whoever does not trace pays for one look into a dictionary.
"""

import os
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


def begun(name: str, attributes: Mapping[str, Value], *, kind: Kind = "internal") -> Span:
    """Begin a span inside of the one that is current.

    Args:
        name: What is done.
        attributes: What is known of it.
        kind: Where it is done.

    Returns:
        The span; `NOTHING` where nobody traces.
    """
    if _LIBRARY not in sys.modules and not os.environ.get(_PROVIDER):
        return NOTHING
    try:
        from opentelemetry import trace  # optional
    except ImportError:
        return NOTHING
    # Until the application sets a provider, the library's own stands in and records nothing.
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return NOTHING
    return _begun(trace.get_tracer("mbxai", __version__), name, attributes, kind, parent=None)


def _begun(
    tracer: "trace.Tracer",
    name: str,
    attributes: Mapping[str, Value],
    kind: Kind,
    *,
    parent: "trace.Span | None",
) -> Span:
    from opentelemetry import trace  # optional

    span = tracer.start_span(
        name,
        context=None if parent is None else trace.set_span_in_context(parent),
        kind=trace.SpanKind.CLIENT if kind == "client" else trace.SpanKind.INTERNAL,
        attributes=attributes,
    )
    return Span(tracer, span)

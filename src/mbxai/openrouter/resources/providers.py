"""Providers, and the endpoints that keep no data."""

from typing import Unpack

from mbxai.openrouter._pages import WHOLE, ListAnswer, Page, PageRequest
from mbxai.openrouter._requester import RequestOptions
from mbxai.openrouter.resources._catalogue import Endpoint
from mbxai.openrouter.resources._resource import AsyncResource, Resource
from mbxai.wire import WireModel

__all__ = ["AsyncEndpoints", "AsyncProviders", "Endpoints", "Provider", "Providers"]


class Provider(WireModel):
    """One company that serves models.

    Attributes:
        slug: For `provider.order`, `provider.only` and `provider.ignore` of requests.
        name: For people.
        headquarters: Country by its two letters.
        datacenters: Countries by their two letters.
        privacy_policy_url: Address of its privacy policy.
        terms_of_service_url: Address of its terms.
        status_page_url: Address that tells whether it works.
    """

    slug: str = ""
    name: str | None = None
    headquarters: str | None = None
    datacenters: list[str] | None = None
    privacy_policy_url: str | None = None
    terms_of_service_url: str | None = None
    status_page_url: str | None = None


class AsyncProviders(AsyncResource):
    """Companies that serve models: `client.providers`."""

    def list(self, **options: Unpack[RequestOptions]) -> PageRequest[Provider]:
        """List all providers; they come in one answer.

        Args:
            **options: The options of every call.

        Returns:
            Iterates over the providers.

        Raises:
            OpenRouterError: As for any call.
        """
        return self._list("providers", ListAnswer[Provider], style=WHOLE, options=options)


class Providers(Resource[AsyncProviders]):
    """Companies that serve models: `client.providers`."""

    def list(self, **options: Unpack[RequestOptions]) -> Page[Provider]:
        """List all providers; they come in one answer.

        Args:
            **options: The options of every call.

        Returns:
            Iterates over the providers.

        Raises:
            OpenRouterError: As for any call.
        """
        return Page[Provider].first_of(self._async_client.list(**options))


class AsyncEndpoints(AsyncResource):
    """Endpoints of all models: `client.endpoints`; those of one are in `client.models`."""

    def zdr(self, **options: Unpack[RequestOptions]) -> PageRequest[Endpoint]:
        """List the endpoints that keep no data (zero data retention); they come in one answer.

        Args:
            **options: The options of every call.

        Returns:
            Iterates over the endpoints.

        Raises:
            OpenRouterError: As for any call.
        """
        return self._list("endpoints/zdr", ListAnswer[Endpoint], style=WHOLE, options=options)


class Endpoints(Resource[AsyncEndpoints]):
    """Endpoints of all models: `client.endpoints`; those of one are in `client.models`."""

    def zdr(self, **options: Unpack[RequestOptions]) -> Page[Endpoint]:
        """List the endpoints that keep no data (zero data retention); they come in one answer.

        Args:
            **options: The options of every call.

        Returns:
            Iterates over the endpoints.

        Raises:
            OpenRouterError: As for any call.
        """
        return Page[Endpoint].first_of(self._async_client.zdr(**options))

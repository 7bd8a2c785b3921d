"""The resources of a client, loaded when they are first asked for.

Each property imports its own module: most programs use one or two of them, and a resource's models
cost time to build.
"""

from typing import TYPE_CHECKING

from mbxai.openrouter._core import ClientCore

if TYPE_CHECKING:  # slow to load, all together
    from mbxai.openrouter.resources.account import (
        Activity,
        AsyncActivity,
        AsyncCredits,
        AsyncCurrentKey,
        Credits,
        CurrentKey,
    )
    from mbxai.openrouter.resources.audio import (
        AsyncAudioCalls,
        AudioCalls,
    )
    from mbxai.openrouter.resources.auth import (
        AsyncAuth,
        Auth,
    )
    from mbxai.openrouter.resources.batches import (
        AsyncBatches,
        Batches,
    )
    from mbxai.openrouter.resources.containers import (
        AsyncContainerFiles,
        ContainerFiles,
    )
    from mbxai.openrouter.resources.embeddings import (
        AsyncEmbeddings,
        Embeddings,
    )
    from mbxai.openrouter.resources.files import (
        AsyncFiles,
        Files,
    )
    from mbxai.openrouter.resources.generations import (
        AsyncGenerations,
        Generations,
    )
    from mbxai.openrouter.resources.guardrails import (
        AsyncGuardrails,
        Guardrails,
    )
    from mbxai.openrouter.resources.images import (
        AsyncImages,
        Images,
    )
    from mbxai.openrouter.resources.keys import (
        AsyncKeys,
        Keys,
    )
    from mbxai.openrouter.resources.messages import (
        AnthropicMessages,
        AsyncAnthropicMessages,
    )
    from mbxai.openrouter.resources.models import (
        AsyncModels,
        Models,
    )
    from mbxai.openrouter.resources.presets import (
        AsyncPresets,
        Presets,
    )
    from mbxai.openrouter.resources.providers import (
        AsyncEndpoints,
        AsyncProviders,
        Endpoints,
        Providers,
    )
    from mbxai.openrouter.resources.rerank import (
        AsyncRerank,
        Rerank,
    )
    from mbxai.openrouter.resources.responses import (
        AsyncResponses,
        Responses,
    )
    from mbxai.openrouter.resources.videos import (
        AsyncVideos,
        Videos,
    )


class AsyncResources:
    """Base of the client: one property a resource."""

    _core: ClientCore

    @property
    def models(self) -> "AsyncModels":
        """Models that OpenRouter offers."""
        from mbxai.openrouter.resources.models import AsyncModels

        return AsyncModels(self._core.requester)

    @property
    def endpoints(self) -> "AsyncEndpoints":
        """Endpoints of models, beside `models.endpoints`."""
        from mbxai.openrouter.resources.providers import AsyncEndpoints

        return AsyncEndpoints(self._core.requester)

    @property
    def providers(self) -> "AsyncProviders":
        """Who serves models."""
        from mbxai.openrouter.resources.providers import AsyncProviders

        return AsyncProviders(self._core.requester)

    @property
    def generations(self) -> "AsyncGenerations":
        """What became of earlier calls: cost, tokens, content, feedback."""
        from mbxai.openrouter.resources.generations import AsyncGenerations

        return AsyncGenerations(self._core.requester)

    @property
    def credits(self) -> "AsyncCredits":
        """Credits of the account; needs a management key."""
        from mbxai.openrouter.resources.account import AsyncCredits

        return AsyncCredits(self._core.requester)

    @property
    def key(self) -> "AsyncCurrentKey":
        """The key of this client: its limits and what it has used."""
        from mbxai.openrouter.resources.account import AsyncCurrentKey

        return AsyncCurrentKey(self._core.requester)

    @property
    def activity(self) -> "AsyncActivity":
        """What was used by day; needs a management key."""
        from mbxai.openrouter.resources.account import AsyncActivity

        return AsyncActivity(self._core.requester)

    @property
    def keys(self) -> "AsyncKeys":
        """API keys; needs a management key."""
        from mbxai.openrouter.resources.keys import AsyncKeys

        return AsyncKeys(self._core.requester)

    @property
    def auth(self) -> "AsyncAuth":
        """Log-in of users by PKCE."""
        from mbxai.openrouter.resources.auth import AsyncAuth

        return AsyncAuth(self._core.requester)

    @property
    def presets(self) -> "AsyncPresets":
        """Stored settings and their versions."""
        from mbxai.openrouter.resources.presets import AsyncPresets

        return AsyncPresets(self._core.requester)

    @property
    def guardrails(self) -> "AsyncGuardrails":
        """Limits for keys and members; needs a management key."""
        from mbxai.openrouter.resources.guardrails import AsyncGuardrails

        return AsyncGuardrails(self._core.requester)

    @property
    def embeddings(self) -> "AsyncEmbeddings":
        """Texts and images as vectors."""
        from mbxai.openrouter.resources.embeddings import AsyncEmbeddings

        return AsyncEmbeddings(self._core.requester)

    @property
    def rerank(self) -> "AsyncRerank":
        """Documents by how well they answer a query."""
        from mbxai.openrouter.resources.rerank import AsyncRerank

        return AsyncRerank(self._core.requester)

    @property
    def audio(self) -> "AsyncAudioCalls":
        """Speech from text and text from speech."""
        from mbxai.openrouter.resources.audio import AsyncAudioCalls

        return AsyncAudioCalls(self._core.requester)

    @property
    def images(self) -> "AsyncImages":
        """Images from text."""
        from mbxai.openrouter.resources.images import AsyncImages

        return AsyncImages(self._core.requester)

    @property
    def videos(self) -> "AsyncVideos":
        """Films from text, made in the background."""
        from mbxai.openrouter.resources.videos import AsyncVideos

        return AsyncVideos(self._core.requester)

    @property
    def files(self) -> "AsyncFiles":
        """Uploaded files."""
        from mbxai.openrouter.resources.files import AsyncFiles

        return AsyncFiles(self._core.requester)

    @property
    def container_files(self) -> "AsyncContainerFiles":
        """Files that server tools have made."""
        from mbxai.openrouter.resources.containers import AsyncContainerFiles

        return AsyncContainerFiles(self._core.requester)

    @property
    def batches(self) -> "AsyncBatches":
        """Many requests at half the price, made in the background."""
        from mbxai.openrouter.resources.batches import AsyncBatches

        return AsyncBatches(self._core.requester)

    @property
    def responses(self) -> "AsyncResponses":
        """The Responses API, with its event streams."""
        from mbxai.openrouter.resources.responses import AsyncResponses

        return AsyncResponses(self._core)

    @property
    def messages(self) -> "AsyncAnthropicMessages":
        """The Messages API of Anthropic, with its event streams."""
        from mbxai.openrouter.resources.messages import AsyncAnthropicMessages

        return AsyncAnthropicMessages(self._core)


class Resources:
    """Base of the blocking client: one property a resource."""

    @property
    def async_client(self) -> AsyncResources:
        """The client that does the work."""
        raise NotImplementedError

    @property
    def models(self) -> "Models":
        """Models that OpenRouter offers."""
        from mbxai.openrouter.resources.models import Models

        return Models(self.async_client.models)

    @property
    def endpoints(self) -> "Endpoints":
        """Endpoints of models, beside `models.endpoints`."""
        from mbxai.openrouter.resources.providers import Endpoints

        return Endpoints(self.async_client.endpoints)

    @property
    def providers(self) -> "Providers":
        """Who serves models."""
        from mbxai.openrouter.resources.providers import Providers

        return Providers(self.async_client.providers)

    @property
    def generations(self) -> "Generations":
        """What became of earlier calls: cost, tokens, content, feedback."""
        from mbxai.openrouter.resources.generations import Generations

        return Generations(self.async_client.generations)

    @property
    def credits(self) -> "Credits":
        """Credits of the account; needs a management key."""
        from mbxai.openrouter.resources.account import Credits

        return Credits(self.async_client.credits)

    @property
    def key(self) -> "CurrentKey":
        """The key of this client: its limits and what it has used."""
        from mbxai.openrouter.resources.account import CurrentKey

        return CurrentKey(self.async_client.key)

    @property
    def activity(self) -> "Activity":
        """What was used by day; needs a management key."""
        from mbxai.openrouter.resources.account import Activity

        return Activity(self.async_client.activity)

    @property
    def keys(self) -> "Keys":
        """API keys; needs a management key."""
        from mbxai.openrouter.resources.keys import Keys

        return Keys(self.async_client.keys)

    @property
    def auth(self) -> "Auth":
        """Log-in of users by PKCE."""
        from mbxai.openrouter.resources.auth import Auth

        return Auth(self.async_client.auth)

    @property
    def presets(self) -> "Presets":
        """Stored settings and their versions."""
        from mbxai.openrouter.resources.presets import Presets

        return Presets(self.async_client.presets)

    @property
    def guardrails(self) -> "Guardrails":
        """Limits for keys and members; needs a management key."""
        from mbxai.openrouter.resources.guardrails import Guardrails

        return Guardrails(self.async_client.guardrails)

    @property
    def embeddings(self) -> "Embeddings":
        """Texts and images as vectors."""
        from mbxai.openrouter.resources.embeddings import Embeddings

        return Embeddings(self.async_client.embeddings)

    @property
    def rerank(self) -> "Rerank":
        """Documents by how well they answer a query."""
        from mbxai.openrouter.resources.rerank import Rerank

        return Rerank(self.async_client.rerank)

    @property
    def audio(self) -> "AudioCalls":
        """Speech from text and text from speech."""
        from mbxai.openrouter.resources.audio import AudioCalls

        return AudioCalls(self.async_client.audio)

    @property
    def images(self) -> "Images":
        """Images from text."""
        from mbxai.openrouter.resources.images import Images

        return Images(self.async_client.images)

    @property
    def videos(self) -> "Videos":
        """Films from text, made in the background."""
        from mbxai.openrouter.resources.videos import Videos

        return Videos(self.async_client.videos)

    @property
    def files(self) -> "Files":
        """Uploaded files."""
        from mbxai.openrouter.resources.files import Files

        return Files(self.async_client.files)

    @property
    def container_files(self) -> "ContainerFiles":
        """Files that server tools have made."""
        from mbxai.openrouter.resources.containers import ContainerFiles

        return ContainerFiles(self.async_client.container_files)

    @property
    def batches(self) -> "Batches":
        """Many requests at half the price, made in the background."""
        from mbxai.openrouter.resources.batches import Batches

        return Batches(self.async_client.batches)

    @property
    def responses(self) -> "Responses":
        """The Responses API, with its event streams."""
        from mbxai.openrouter.resources.responses import Responses

        return Responses(self.async_client.responses)

    @property
    def messages(self) -> "AnthropicMessages":
        """The Messages API of Anthropic, with its event streams."""
        from mbxai.openrouter.resources.messages import AnthropicMessages

        return AnthropicMessages(self.async_client.messages)

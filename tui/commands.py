"""The palette: every action that can be done on this screen now, by its name."""

from __future__ import annotations

from functools import partial

from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.markup import escape

from .screens.help import live_bindings


class Actions(Provider):
    """Offers the live bindings of the screen the palette was opened on, not only those of the bottom line."""

    async def discover(self) -> Hits:
        for binding in live_bindings(self.screen):
            yield DiscoveryHit(
                binding.description, partial(self._press, binding.key), help=self._help(binding)
            )

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for binding in live_bindings(self.screen):
            score = matcher.match(binding.description)
            if score > 0:
                yield Hit(
                    score,
                    matcher.highlight(binding.description),
                    partial(self._press, binding.key),
                    help=self._help(binding),
                )

    def _help(self, binding: Binding) -> str:
        return escape(f"{self.app.get_key_display(binding)}  {binding.tooltip}")

    def _press(self, key: str) -> None:
        self.app.simulate_key(key)

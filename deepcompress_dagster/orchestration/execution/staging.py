"""Finished pages on their way into the warehouse: which are put away together, and when."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from deepcompress_dagster.records import DocumentOpened, PageResult

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import Warehouse

STAGE_SECONDS = 1.0
"""Finished pages are put away in groups of about a second, the first of a run at once."""


class Staging:
    """Puts finished pages away in groups: the first of a run at once, the others by the second."""

    def __init__(
        self,
        warehouse: "Warehouse",
        run_id: str,
        versions: Mapping[str, str],
        require_room: Callable[[], None],
    ) -> None:
        self._warehouse = warehouse
        self._require_room = require_room
        self._run_id = run_id
        self._versions = versions
        self._opened: list[DocumentOpened] = []
        self._pages: list[PageResult] = []
        self._flushed_at = float("-inf")

    def opened(self, event: DocumentOpened) -> None:
        """A document was opened; that is put away with the next pages."""
        self._opened.append(event)

    def finished(self, page: PageResult) -> None:
        """A page is through. Raises what ``require_room`` raises, once it is put away."""
        self._pages.append(page)
        if time.monotonic() - self._flushed_at >= STAGE_SECONDS:
            self.flush()
            self._require_room()

    def flush(self) -> None:
        """Put away what waits, and publish it when a publication is due."""
        opened, pages = self._opened, self._pages
        if opened or pages:
            self._opened, self._pages = [], []
            self._warehouse.stage(self._run_id, self._versions, opened, pages)
            self._warehouse.publish(force=False)
        self._flushed_at = time.monotonic()

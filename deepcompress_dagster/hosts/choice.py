"""Which host the settings choose. A host is imported when it is chosen: Ray takes a second."""

from deepcompress_dagster.hosts.errors import HostError
from deepcompress_dagster.hosts.host import ParseHost
from deepcompress_dagster.settings import ParseOn, Settings


def open_host(settings: Settings) -> ParseHost:
    """The host of one run. Raises HostError where it is not to be had."""
    if settings.parse_on is ParseOn.PROCESS:
        from deepcompress_dagster.hosts.process import ProcessHost

        return ProcessHost(settings)
    if settings.parse_on is ParseOn.WARM:
        from deepcompress_dagster.hosts.warm.client import WarmHost

        return WarmHost(settings)
    raise HostError(f"DEEPCOMPRESS_PARSE_ON={settings.parse_on} is not to be had here")

"""Which host the settings choose. A host is imported when it is chosen: Ray takes a second."""

from importlib.util import find_spec

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
    if find_spec("ray") is None:
        raise HostError(
            "DEEPCOMPRESS_PARSE_ON=ray needs Ray: pip install 'deepcompress-dagster[ray]'"
        )
    from deepcompress_dagster.hosts.ray.host import RayHost

    return RayHost(settings)

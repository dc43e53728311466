"""One process: its settings, its listeners, its loops, and the modules that run in it."""

from frameworks.kit.host.process import ProcessHost
from frameworks.kit.host.serving import ProcessEnded, serve
from frameworks.kit.host.settings import HostSettings

__all__ = ["HostSettings", "ProcessEnded", "ProcessHost", "serve"]

"""Version of the httpx instrumentation, the same as the core's: the distributions are released in lockstep."""

__version__ = "0.1.0"

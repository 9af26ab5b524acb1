"""A demonstration: an Authlib authorization server, a web application that logs in there, and their visitors.

``server``, ``client`` and ``traffic`` are ordinary programs without a line of telemetry.
"""

"""Settings of the Django application in tests/canary/by_hand.py: its stock instrumentation reads them at start."""

from __future__ import annotations

import os

from canaries import Canaries

SECRET_KEY = Canaries(os.environ["CANARY_SEED"]).of("cookie_key")
ALLOWED_HOSTS = ["*"]
DEBUG = False
ROOT_URLCONF = "by_hand"
MIDDLEWARE: list[str] = []
USE_TZ = True

"""The process is cooperative, as an application's is; no property is timed."""

import brubeck.cooperative  # noqa: F401, I001  # first: nothing may keep an unpatched module

from hypothesis import settings

settings.register_profile("brubeck", deadline=None)
settings.load_profile("brubeck")

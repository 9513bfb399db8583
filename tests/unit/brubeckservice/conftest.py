"""The process is cooperative, as an application's is; hypothesis takes its time, keeps no files."""

import brubeck.cooperative  # noqa: F401, I001  # first: nothing may keep an unpatched module

from hypothesis import settings

settings.register_profile("brubeckservice", deadline=None, database=None)
settings.load_profile("brubeckservice")

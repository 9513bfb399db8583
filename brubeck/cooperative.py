"""Makes the process cooperative on import, as Brubeck always promised.

Its own module, so that an import line says it, and first, before anything keeps an
unpatched `socket` or `threading`.
"""

from gevent import config, monkey

config.track_greenlet_tree = False  # who spawned whom: for debuggers, and not for nothing
monkey.patch_all()

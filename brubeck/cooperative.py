"""Makes the process cooperative on import, as Brubeck always promised.

Its own module, so that an import line says it, and first, before anything keeps an
unpatched `socket` or `threading`.
"""

from gevent import monkey

monkey.patch_all()

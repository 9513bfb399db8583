"""The client app with two more pages: one that calls by the ledger, one that says how it is."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, "/app")

from app import ServiceCaller, app, service_addr  # type: ignore[import-not-found]
from brubeckservice.base import ServiceError

JSON = {"Content-Type": "application/json"}


class Call(ServiceCaller):  # type: ignore[misc]
    """Has the service execute an entry of the ledger, and says what it was told."""

    def get(self) -> Any:
        entry = {name: self.get_argument(name) for name in ("id", "seconds")}
        entry["ballast"] = "x" * int(self.get_argument("bytes") or 0)
        path = "/compute" if self.get_argument("compute") else "/execute"
        timeout = float(self.get_argument("timeout") or 5)
        idempotent = bool(self.get_argument("idempotent"))
        told = {"id": entry["id"], "outcome": "answered", "may_have_run": True}
        request = self.create_service_request(path, "request", entry)
        status = 200
        try:
            response, _ = self.send_service_request(service_addr, request, timeout, idempotent)
            told["id"] = response.body.get("id", entry["id"])
            if response.status_code != 200:
                told["outcome"] = f"status {response.status_code}"
        except ServiceError as error:
            told |= {"outcome": type(error).__name__, "may_have_run": error.may_have_run}
            status = error.status_code
        self.set_body(json.dumps(told), JSON, status)
        return self.render()


class State(ServiceCaller):  # type: ignore[misc]
    """Which replicas take calls, and what a leak would make grow."""

    def get(self) -> Any:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        state = {
            "host": socket.gethostname(),
            "replicas": sum(len(c.replicas) for c in app._resources.values()),
            "calls": sum(len(c.pending) for c in app._resources.values()),
            "descriptors": len(list(Path("/proc/self/fd").iterdir())),
            "resident": pages * os.sysconf("SC_PAGE_SIZE"),
        }
        self.set_body(json.dumps(state), JSON)
        return self.render()


app.add_route_rule(r"^/call$", Call)
app.add_route_rule(r"^/state$", State)

if os.environ.get("LATER_VERSION"):
    import later_version  # type: ignore[import-not-found]

    later_version.speak()

if __name__ == "__main__":
    app.run()

"""Says in the words of `docker stack deploy` what `docker compose config` says, as JSON both.

Compose names limits, files in memory and options of the resolver beside a service; a Swarm wants
them elsewhere, or not at all. What it cannot do is left out here, and docs/deployment.md says so.
"""

import json
import sys
from typing import Any

# Left out: a Swarm neither builds nor waits, has a restart policy of its own under `deploy`, knows
# no limit of swap, and takes `no-new-privileges` from its engines (`dockerd --no-new-privileges`).
UNKNOWN = {"build", "depends_on", "memswap_limit", "pull_policy", "restart", "security_opt"}
LIMITS = {"cpus": "cpus", "mem_limit": "memory", "pids_limit": "pids"}
UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


def stack(project: dict[str, Any]) -> dict[str, Any]:
    """The stack file of a project."""
    made = {kind: value for kind, value in project.items() if kind != "name"}
    made["services"] = {name: service(said) for name, said in project["services"].items()}
    made["networks"] = {name: network(said) for name, said in project["networks"].items()}
    return {"version": "3.9", **made}


def service(said: dict[str, Any]) -> dict[str, Any]:
    """One service of it."""
    moved = {*LIMITS, *UNKNOWN, "tmpfs", "dns_opt"}
    made = {key: value for key, value in said.items() if key not in moved and value is not None}
    limits = {LIMITS[key]: limit(key, said[key]) for key in LIMITS if key in said}
    made["deploy"] = {**said.get("deploy", {}), "resources": {"limits": limits}}
    made["volumes"] = said.get("volumes", []) + [memory(mount) for mount in said.get("tmpfs", [])]
    made["ports"] = [{**p, "published": int(p["published"])} for p in said.get("ports", [])]
    if "dns_opt" in said:  # the C library reads them from here as well
        options = {"RES_OPTIONS": " ".join(said["dns_opt"])}
        made["environment"] = said.get("environment", {}) | options
    return made


def limit(key: str, value: Any) -> Any:
    """A limit in its proper type: of them all, only that of processes is a number."""
    return int(value) if key == "pids_limit" else str(value)


def memory(mount: str) -> dict[str, Any]:
    """A file system in memory: of its options, a stack file has the size only."""
    path, _, options = mount.partition(":")
    size = dict(option.partition("=")[::2] for option in options.split(","))["size"]
    bytes_ = int(size[:-1]) * UNITS[size[-1]]
    return {"type": "tmpfs", "target": path, "tmpfs": {"size": bytes_}}


def network(said: dict[str, Any]) -> dict[str, Any]:
    """One network of it; some engines take `encrypted: "false"` for a yes."""
    made = {key: value for key, value in said.items() if value}
    if made.get("driver_opts", {}).get("encrypted") == "false":
        del made["driver_opts"]["encrypted"]
    return made


if __name__ == "__main__":
    json.dump(stack(json.load(sys.stdin)), sys.stdout, indent=2)

"""Random changes of good messages; the environment's `MUTATIONS` says how many a test makes."""

import os
import random

MUTATIONS = int(os.environ.get("MUTATIONS", "10000"))


def mutated(choose: random.Random, frame: bytes) -> bytes:
    """The frame after one to three random changes."""
    data = bytearray(frame)
    for _ in range(choose.randint(1, 3)):
        start = choose.randrange(len(data) + 1)
        end = min(len(data), start + choose.randint(1, 8))
        match choose.randrange(5):
            case 0 if start < len(data):
                data[start] ^= 1 << choose.randrange(8)
            case 1:
                del data[start:end]
            case 2:
                data[start:start] = choose.randbytes(choose.randint(1, 4))
            case 3:
                data[start:start] = data[start:end]
            case 4:
                data[start:end] = choose.choice((b"[", b"]", b",", b'"', b"-1", b"1e9", b"null"))
    return bytes(data)

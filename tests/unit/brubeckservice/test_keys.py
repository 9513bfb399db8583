"""A passphrase stands for the same keys everywhere: the values here bind every implementation."""

import pytest
import zmq
from zmq.utils import z85

from brubeckservice.keys import Keys, derive_keys

PASSPHRASE = "correct horse battery staple"

GOLDEN = {
    "correct horse battery staple": {
        "service public": "DWhOh8FE6$}I28+]RdP6&R?HnkJ&TPIL}Twwc{B:",
        "service secret": "-Os54]Egz8:>Et]Cx#?N3mc5Y+QARHw]L}WKN&!*",
        "caller public": "/iiEdKb6KlF&cF!zUfUfzRkdq*MQOi<cBgbx-4g0",
        "caller secret": "c(Z>sjCLQM{[f-+-n^{[loFftVIr6T4xI-oOH9Ew",
    },
    "pässwörter zählen Bytes ☃": {
        "service public": "<h}JLG4kFg9PT]ef0]9Pu7u4TO.-#x}?V(9mFf$G",
        "service secret": "2YGz?2XoWj8p@+j+lp(dsm3eTljUMKG/9GTzypm>",
        "caller public": "/WzEogrZ6IsA#Qv/5OErC%EeTetXCHZioPyNI{h[",
        "caller secret": ".U}Vl{htbLXV6V*lu<KDYO)!0@:4HrjO$(Ih06@p",
    },
}


def all_keys(keys: Keys) -> list[bytes]:
    return [*keys.service, *keys.caller]


@pytest.mark.parametrize("passphrase", GOLDEN)
def test_a_passphrase_stands_for_these_keys(passphrase: str) -> None:
    keys = derive_keys(passphrase)

    assert {
        "service public": keys.service.public.decode(),
        "service secret": keys.service.secret.decode(),
        "caller public": keys.caller.public.decode(),
        "caller secret": keys.caller.secret.decode(),
    } == GOLDEN[passphrase]


def test_public_and_secret_keys_belong_together() -> None:
    for pair in derive_keys(PASSPHRASE):
        assert zmq.curve_public(pair.secret) == pair.public
        assert len(z85.decode(pair.secret)) == 32


def test_each_passphrase_and_each_role_has_keys_of_its_own() -> None:
    passphrases = (PASSPHRASE, PASSPHRASE + " ", PASSPHRASE.upper(), "")
    keys = [key for passphrase in passphrases for key in all_keys(derive_keys(passphrase))]

    assert len(set(keys)) == len(keys)


def test_keys_are_derived_once() -> None:
    assert derive_keys(PASSPHRASE) is derive_keys(PASSPHRASE)


def test_no_text_of_keys_shows_one() -> None:
    keys = derive_keys(PASSPHRASE)
    texts = [
        text
        for value in (keys, keys.service, keys.caller, [keys], {"keys": keys})
        for text in (repr(value), str(value), f"{value}", f"{value!r}")
    ]

    for text in texts:
        assert "***" in text
        for key in (*all_keys(keys), PASSPHRASE.encode()):
            assert key.decode() not in text
            assert repr(key) not in text

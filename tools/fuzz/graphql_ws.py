"""Fuzz the socket's state machine: whatever a client sends must end in actions, never in an exception.

python tools/fuzz/graphql_ws.py [--seconds 15] [--seed 1]
"""

import argparse
import json
import random
import time

from frameworks.control.bridge.transport.socket import Authenticate, Close, Limits, Send, Socket, Start, Stop

SEEDS = [
    '{"type":"connection_init","payload":{"Authorization":"Bearer t"}}',
    '{"type":"subscribe","id":"1","payload":{"query":"subscription { x }","variables":{},"operationName":null}}',
    '{"type":"subscribe","id":"2","payload":{"query":"{ x }"}}',
    '{"type":"complete","id":"1"}',
    '{"type":"ping","payload":{"a":[1,2,{"b":null}]}}',
    '{"type":"pong"}',
]
ALPHABET = '{}[]",:0123456789eE.-\\u\x00\ud800é \ntypeidpayloadquery'


def mutated(text: str, dice: random.Random) -> str:
    """`text` with a few characters changed, cut, doubled or moved."""
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(text) + 1)
        match dice.randrange(4):
            case 0:
                text = text[:at] + dice.choice(ALPHABET) + text[at:]
            case 1:
                text = text[:at] + text[at + dice.randrange(1, 6) :]
            case 2:
                text = text[:at] + text[at : at + 12] * dice.randrange(1, 50) + text[at:]
            case _:
                text = text[:at] + dice.choice(SEEDS)[: dice.randrange(20)] + text[at:]
    return text


def one_session(dice: random.Random) -> None:
    """A client that starts well and goes on badly."""
    socket, now, closed = Socket(0.0, Limits(message_bytes=4096)), 0.0, False
    for number in range(dice.randrange(1, 30)):
        text = SEEDS[0] if number == 0 else dice.choice(SEEDS)
        text = text if dice.random() < 0.4 else mutated(text, dice)
        now += dice.random() * 3
        for action in [*socket.receive(text), *socket.tick(now)]:
            assert not closed, f"{action} follows a close"
            match action:
                case Close(code, reason):
                    assert 1000 <= code < 5000
                    assert len(reason.encode()) <= 123
                    closed = True
                case Send(message):
                    json.dumps(message)
                case Authenticate():
                    socket.accepted()
                case Start(id, _):
                    assert socket.next(id, {})
                case Stop(id):
                    assert not socket.next(id, {})


def main() -> None:
    """Run sessions until the time is over, and say how many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    sessions, end = 0, time.monotonic() + options.seconds
    while time.monotonic() < end:
        state = dice.getstate()
        try:
            one_session(dice)
        except BaseException:
            dice.setstate(state)
            print(f"session {sessions} of seed {options.seed} breaks it")
            raise
        sessions += 1
    print(f"{sessions} sessions, none broke it")


if __name__ == "__main__":
    main()

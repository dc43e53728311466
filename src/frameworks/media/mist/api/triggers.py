"""Firing triggers at their handlers: attempts, answers in both dialects, what applies when nobody answers."""

import asyncio
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from frameworks.kit import trace
from frameworks.kit.clock import Clock, uuid7
from frameworks.kit.log import get
from frameworks.media.mist.protocols.trigger import (
    Action,
    Answer,
    Firing,
    Handler,
    Verdict,
    WrongAnswer,
    after_failure,
    read_answer,
)

log = get("mist")

ATTEMPTS = 5
QUIET = 5.0
"""Seconds without a byte from the handler that end an attempt."""
REDIRECTS = 3
MAX_ASKING = 256
MAX_QUEUED = 4096
LANES = 4
"""Asynchronous triggers of one stream share a lane, so they arrive in order."""
FOR_EVERY_REQUEST = frozenset({"PLAY_REWRITE"})
"""Too many for a line each."""
FINAL = frozenset({Action.DENY, Action.OFFLINE})


class Configured(Protocol):
    """The handlers in force and the node's name for itself."""

    handlers: Mapping[str, Sequence[Handler]]
    serverid: str


@dataclass(slots=True)
class Tally:
    """How often a trigger fired, how long its handlers took, how often they failed."""

    count: int = 0
    ms: int = 0
    fails: int = 0


@dataclass(frozen=True, slots=True)
class _Errand:
    handler: Handler
    firing: Firing


class HandlerAway(Exception):
    """No attempt got an answer."""


class TriggerClient:
    """Speaks to Helmsman as MistServer does; `run` must run for asynchronous triggers to leave."""

    def __init__(
        self, clock: Clock, configured: Configured, *, instance: str, version: str, quiet: float = QUIET
    ) -> None:
        self.tallies: dict[str, Tally] = {}
        self.dropped = 0
        self._clock = clock
        self._configured = configured
        self._instance = instance
        self._version = version
        self._quiet = quiet
        self._asking = 0
        self._lanes: list[asyncio.Queue[_Errand]] = [asyncio.Queue(MAX_QUEUED // LANES) for _ in range(LANES)]

    async def ask(
        self, trigger: str, stream: str, lines: Sequence[str], *, pid: int | None = None
    ) -> Verdict | None:
        """Fire at each handler in order until one denies; None when none is configured for this stream."""
        handlers = [h for h in self._configured.handlers.get(trigger, ()) if h.covers(stream)]
        firing = self._firing(trigger, lines, pid)
        verdict: Verdict | None = None
        for handler in handlers:
            if not handler.sync:
                self._queue(stream, _Errand(handler, firing))
                continue
            verdict = await self._ask_one(handler, firing)
            if verdict.action in FINAL:
                break
        return verdict

    def tell(self, trigger: str, stream: str, lines: Sequence[str], *, pid: int | None = None) -> None:
        """Queue the trigger for each handler; what does not fit is dropped and counted."""
        firing = self._firing(trigger, lines, pid)
        for handler in self._configured.handlers.get(trigger, ()):
            if handler.covers(stream):
                self._queue(stream, _Errand(handler, firing))

    def _firing(self, trigger: str, lines: Sequence[str], pid: int | None) -> Firing:
        return Firing(
            trigger=trigger,
            lines=lines,
            uuid=str(uuid7()),
            at=self._clock.now(),
            pid=os.getpid() if pid is None else pid,
            instance=self._instance,
            name=self._configured.serverid,
            version=self._version,
            trace=trace.here(),
        )

    def _queue(self, stream: str, errand: _Errand) -> None:
        try:
            self._lanes[hash(stream) % LANES].put_nowait(errand)
        except asyncio.QueueFull:
            self.dropped += 1
            log.error("trigger.dropped", trigger=errand.firing.trigger, trace=errand.firing.trace)

    def _count(self, firing: Firing) -> Tally:
        say = log.debug if firing.trigger in FOR_EVERY_REQUEST else log.info
        say("trigger.fired", trigger=firing.trigger, trace=firing.trace)
        tally = self.tallies.setdefault(firing.trigger, Tally())
        tally.count += 1
        return tally

    async def _ask_one(self, handler: Handler, firing: Firing) -> Verdict:
        tally = self._count(firing)
        started = self._clock.monotonic()
        if self._asking >= MAX_ASKING:
            tally.fails += 1
            return after_failure(firing.trigger, handler)
        self._asking += 1
        try:
            answer = await self._attempts(handler, firing, wait=True)
            typed = answer.headers.get("x-mist-trigger-action")
            reason = answer.headers.get("x-mist-trigger-reason", "")
            return read_answer(firing.trigger, typed, reason, answer.body.decode(errors="replace"))
        except (HandlerAway, WrongAnswer) as failure:
            tally.fails += 1
            log.warning("trigger.failed", trigger=firing.trigger, reason=str(failure), trace=firing.trace)
            return after_failure(firing.trigger, handler)
        finally:
            self._asking -= 1
            tally.ms += round(1000 * (self._clock.monotonic() - started))

    async def _attempts(self, handler: Handler, firing: Firing, *, wait: bool) -> Answer:
        url, redirects, attempt, failure = handler.handler, 0, 1, ""
        while attempt <= ATTEMPTS:
            try:
                answer = await self._attempt(url, firing, attempt, wait=wait)
            except (OSError, WrongAnswer) as error:
                failure = str(error) or type(error).__name__
                attempt += 1
                continue
            if not wait or 200 <= answer.status < 300:
                return answer
            if 300 <= answer.status < 400 and "location" in answer.headers and redirects < REDIRECTS:
                url, redirects = urljoin(url, answer.headers["location"]), redirects + 1
                continue
            raise HandlerAway(f"the handler answered {answer.status}")
        raise HandlerAway(f"no answer in {ATTEMPTS} attempts: {failure}")

    async def _attempt(self, url: str, firing: Firing, attempt: int, *, wait: bool) -> Answer:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise WrongAnswer("The handler redirects to something that is not HTTP.")
        secure = ssl.create_default_context() if parts.scheme == "https" else None
        port = parts.port or (443 if secure else 80)
        async with asyncio.timeout(self._quiet):
            reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure)
        try:
            writer.write(firing.request(url, attempt, self._clock.now()))
            async with asyncio.timeout(self._quiet):
                await writer.drain()
            answer = Answer()
            while wait and not answer.done:
                async with asyncio.timeout(self._quiet):
                    answer.feed(await reader.read(65_536))
            return answer
        finally:
            writer.close()

    async def run(self, lane: int) -> None:
        """Deliver one lane's asynchronous triggers, for ever."""
        queue = self._lanes[lane]
        while True:
            await self._deliver(await queue.get())

    async def _deliver(self, errand: _Errand) -> None:
        tally = self._count(errand.firing)
        started = self._clock.monotonic()
        try:
            await self._attempts(errand.handler, errand.firing, wait=errand.handler.sync)
        except HandlerAway as away:
            tally.fails += 1
            firing = errand.firing
            log.warning("trigger.failed", trigger=firing.trigger, reason=str(away), trace=firing.trace)
        tally.ms += round(1000 * (self._clock.monotonic() - started))

    async def flush(self, seconds: float) -> None:
        """Deliver what is queued, for at most so long; for the end of the process, when no lane runs any more."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(self._empty(queue) for queue in self._lanes))
        except TimeoutError:
            log.error("triggers.lost", count=sum(queue.qsize() for queue in self._lanes))

    async def _empty(self, queue: asyncio.Queue[_Errand]) -> None:
        while not queue.empty():
            await self._deliver(queue.get_nowait())

"""What leaves a stream: pushes to other places, recordings to files. The node tells, history is told."""

import os.path
from collections import OrderedDict
from typing import Any, Protocol

import msgspec

from frameworks.contracts import topics
from frameworks.contracts.ids import internal_name
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, micros
from frameworks.media.helmsman import domain
from frameworks.media.helmsman.domain import Action, Fact, Subject, Trigger, Verdict
from frameworks.media.helmsman.service import targets
from frameworks.media.helmsman.service.reporting import Recorder

MAX_OPEN = 1000
"""Recordings under way, and streams remembered after their end."""
MAX_DETAIL = 300
SECOND_US = 1_000_000


class Publishers(Protocol):
    """Whose a stream on this node is."""

    def subject_of(self, name: str) -> Subject | None:
        """Whose the stream is, or was until a while ago; None for streams nobody was admitted to here."""


class Recording(msgspec.Struct):
    """A recording between its first and last word."""

    artifact: str
    stream: str
    segments: int = 0
    media_ms: int = 0
    heard: str = ""
    """The last firing that counted."""


class Outputs:
    """Answers PUSH_OUT_START; hears PUSH_END, RECORDING_SEGMENT and RECORDING_END."""

    def __init__(self, publishers: Publishers, recorder: Recorder, clock: Clock) -> None:
        self._publishers = publishers
        self._recorder = recorder
        self._clock = clock
        self._log = logs.get("helmsman")
        self._open: OrderedDict[str, Recording] = OrderedDict()

    async def starting(self, trigger: Trigger) -> Verdict:
        """PUSH_OUT_START: goes where it was meant to go; history learns where, without credentials."""
        stream, target = trigger.field(0), trigger.field(1)
        if targets.is_file(target):
            recording = self._begin(stream, targets.recording_path(target))
            await self._recorded(trigger, {"state": "started", **_named(recording, target)})
        else:
            body = {
                "state": "starting",
                "target": targets.without_credentials(target),
                "protocol": domain.protocol_of(target),
            }
            await self._record(topics.PUSH_LIFECYCLE.name, trigger, stream, body)
        return Verdict(Action.KEEP, target)

    async def push_ended(self, trigger: Trigger) -> None:
        """PUSH_END: a push is over; one to a file tells its end by RECORDING_END, unless it failed."""
        push, stream, target, used = (trigger.field(n) for n in range(4))
        status, lines = targets.push_status(trigger.field(5, "{}")), targets.push_log(trigger.field(4, "[]"))
        sent = domain.count(status.get("bytes"))
        said = next((line for line in reversed(lines) if line.is_bad), None)
        failed = not sent or (said is not None and said.kind == "FAIL")
        detail = targets.scrubbed(said.text, target, used)[:MAX_DETAIL] if said else ""
        if targets.is_file(used or target):
            if not sent:
                recording = self._find(stream, targets.recording_path(used or target))
                nothing = {"state": "failed", "reason": "NOTHING_WRITTEN", "detail": detail}
                await self._recorded(trigger, nothing | _named(recording, used or target), stream=stream)
            return
        body: dict[str, Any] = {
            "state": "failed" if failed else "ended",
            "push_id": push,
            "target": targets.without_credentials(used or target),
            "protocol": domain.protocol_of(used or target),
            "reason": said.kind if failed and said else "NOTHING_SENT" if failed else "",
            "detail": detail,
            "duration_ms": domain.count(status.get("active_ms"))
            or domain.count(status.get("active_seconds")) * 1000,
            "bytes": sent,
        }
        await self._record(topics.PUSH_LIFECYCLE.name, trigger, stream, body)

    async def segment(self, trigger: Trigger) -> None:
        """RECORDING_SEGMENT: a recording goes on."""
        stream, path = trigger.field(0), trigger.field(1)
        recording = self._find(stream, path)
        if recording.heard != trigger.uuid or not trigger.uuid:
            recording.segments += 1
            recording.media_ms += domain.number(trigger.field(2, "0"))
            recording.heard = trigger.uuid
        body = {
            "state": "progress",
            "segments": recording.segments,
            "media_ms": recording.media_ms,
            **_named(recording, path),
        }
        await self._recorded(trigger, body)

    async def recorded(self, trigger: Trigger) -> None:
        """RECORDING_END: a file is complete, or as complete as it will be."""
        stream, path, reason = trigger.field(0), trigger.field(1), trigger.field(10, "")
        recording = self._find(stream, path)
        is_list = path.endswith(".m3u8")
        body = {
            "state": "ready" if not reason or reason.startswith("CLEAN_") else "failed",
            # Of a list, the node counts the bytes of the last segment only.
            "bytes": 0 if is_list and recording.segments > 1 else domain.number(trigger.field(3)),
            "media_ms": domain.number(trigger.field(7)),
            "started_at": domain.number(trigger.field(5)) * SECOND_US,
            "ended_at": domain.number(trigger.field(6)) * SECOND_US,
            "segments": recording.segments,
            "percent": 100,
            "reason": reason,
            "detail": targets.scrubbed(trigger.field(11, ""), path)[:MAX_DETAIL],
            **_named(recording, path),
        }
        await self._recorded(trigger, body)
        self._open = OrderedDict((key, kept) for key, kept in self._open.items() if kept is not recording)

    def _begin(self, stream: str, path: str) -> Recording:
        recording = Recording(domain.event_id("recording", stream, path).hex(), stream)
        return self._keep(f"{stream}\0{path}", recording)

    def _find(self, stream: str, path: str) -> Recording:
        """The recording a file belongs to: its own, else the only one of the stream, else a new one."""
        key = f"{stream}\0{path}"
        if key in self._open:
            return self._open[key]
        of_stream = [kept for kept in self._open.values() if kept.stream == stream]
        return of_stream[0] if len(of_stream) == 1 else self._begin(stream, path)

    def _keep(self, key: str, recording: Recording) -> Recording:
        self._open[key] = recording
        while len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)
        return recording

    async def _recorded(self, trigger: Trigger, body: dict[str, Any], *, stream: str = "") -> None:
        await self._record(topics.RECORDING_LIFECYCLE.name, trigger, stream or trigger.field(0), body)

    async def _record(self, kind: str, trigger: Trigger, stream: str, body: dict[str, Any]) -> None:
        name = internal_name(stream)
        subject = self._publishers.subject_of(name) if name else None
        if subject is None:
            self._log.warning("output.unattributed", trigger=trigger.name)
            return
        at = trigger.unix_millis * 1000 or micros(self._clock.now())
        identity = domain.event_id(kind, trigger.name, trigger.uuid, *trigger.lines)
        await self._recorder.record(Fact(kind, identity, at, subject, body))


def _named(recording: Recording, path: str) -> dict[str, Any]:
    """What a recording is called; where the node keeps it is the node's business."""
    file = os.path.basename(targets.recording_path(path))
    return {
        "artifact": recording.artifact,
        "kind": "recording",
        "format": os.path.splitext(file)[1].lstrip(".").lower()[:16],
        "file": file,
    }

"""Stream health in codes and words: what is wrong, and what the streamer can do about it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong with a stream."""

    code: str
    title: str
    advice: str
    weight: int
    """Points it costs of 100."""


ISSUES: dict[str, Issue] = {
    issue.code: issue
    for issue in (
        Issue(
            "keyframe_interval_long",
            "Keyframes are too far apart",
            "Players start slowly and low latency suffers. Set the keyframe interval to 2 s (OBS → Settings → Output).",
            20,
        ),
        Issue(
            "keyframe_interval_unstable",
            "Keyframes come irregularly",
            "Turn off scene-cut detection or set a fixed keyframe interval of 2 s.",
            10,
        ),
        Issue(
            "b_frames",
            "The encoder sends B-frames",
            "They add delay and break WebRTC playback. Set B-frames to 0, or tune the encoder for zero latency.",
            10,
        ),
        Issue(
            "fps_low",
            "Fewer frames arrive than the encoder declares",
            "The encoder is overloaded or the uplink drops frames. Lower the resolution, the frame rate or the preset.",
            20,
        ),
        Issue(
            "bitrate_low",
            "The picture gets very few bits",
            "Raise the bitrate, or check that nothing else fills the uplink.",
            15,
        ),
        Issue(
            "jitter_high",
            "Media arrives in bursts",
            "The network between encoder and node is unsteady. Use a cable, or lower the bitrate.",
            20,
        ),
        Issue(
            "buffer_dry",
            "The stream stalls",
            "Media stopped for a moment. Check the encoder and its connection.",
            30,
        ),
        Issue(
            "bitrate_over_plan",
            "The encoder sends more than the plan allows",
            "It will be cut off if it goes on. Lower its bitrate, or choose a larger plan.",
            20,
        ),
        Issue(
            "viewers_over_plan",
            "Viewers are turned away",
            "As many people watch your streams as the plan allows. Choose a larger plan to let more in.",
            0,
        ),
        Issue(
            "no_audio",
            "There is no sound track",
            "Add an audio source, or ignore this if that is intended.",
            5,
        ),
    )
}


def score(codes: list[str]) -> int:
    """100 for a flawless stream, less each issue's weight, never below 0."""
    return max(0, 100 - sum(ISSUES[code].weight for code in codes if code in ISSUES))

// What a problem's code means, and what to do about it.
export interface Problem {
  code: string;
  title: string;
  advice: string;
  isBad: boolean;
}

const KNOWN: Record<string, Omit<Problem, "code">> = {
  keyframe_interval_long: {
    title: "Keyframes are too far apart",
    advice: "Players start slowly. Set the keyframe interval to 2 s in OBS → Settings → Output.",
    isBad: false,
  },
  keyframe_interval_unstable: {
    title: "Keyframes come irregularly",
    advice: "Turn off scene-cut detection, or set a fixed keyframe interval of 2 s.",
    isBad: false,
  },
  b_frames: {
    title: "The encoder sends B-frames",
    advice: "They add delay. Set B-frames to 0 in the encoder, or choose its zero-latency tuning.",
    isBad: false,
  },
  fps_low: {
    title: "Frames are missing",
    advice: "The encoder or the uplink is overloaded. Lower the resolution, the frame rate or the preset.",
    isBad: true,
  },
  bitrate_low: {
    title: "The picture gets very few bits",
    advice: "Raise the bitrate, or check that nothing else fills the uplink.",
    isBad: false,
  },
  jitter_high: {
    title: "Media arrives in bursts",
    advice: "The network between encoder and node is unsteady. Use a cable, or lower the bitrate.",
    isBad: true,
  },
  buffer_dry: {
    title: "The stream stalls",
    advice: "Media stopped for a moment. Check the encoder and its connection.",
    isBad: true,
  },
  bitrate_over_plan: {
    title: "The encoder sends more than the plan allows",
    advice: "It will be cut off if it goes on. Lower its bitrate, or choose a larger plan.",
    isBad: true,
  },
  viewers_over_plan: {
    title: "Viewers are turned away",
    advice: "As many people watch your streams as the plan allows. Choose a larger plan to let more in.",
    isBad: true,
  },
  no_audio: {
    title: "There is no sound track",
    advice: "Add an audio source, or ignore this if it is intended.",
    isBad: false,
  },
};

export function problem(code: string): Problem {
  const known = KNOWN[code];
  return known
    ? { code, ...known }
    : { code, title: code.replaceAll("_", " "), advice: "Compare your encoder's settings with Setup.", isBad: false };
}

/** The problems in "a, b" as the history writes them. */
export function problemsIn(text: string | null): Problem[] {
  return (text ?? "")
    .split(",")
    .map((code) => code.trim())
    .filter(Boolean)
    .map(problem);
}

export const REFUSALS: Record<string, string> = {
  INVALID_KEY: "Unknown stream key",
  KEY_INACTIVE: "Old stream key",
  TENANT_INACTIVE: "Account closed",
  TENANT_SUSPENDED: "Account suspended",
  CLUSTER_NOT_ENTITLED: "Location not in the plan",
  STREAM_LIMIT: "Too many live streams",
  STREAM_DELETED: "Stream deleted",
  DUPLICATE_INGEST: "Another encoder is live",
  BITRATE_LIMIT: "More bitrate than the plan allows",
  SUPERSEDED: "Replaced by a newer connection",
  RELEASED: "Connection already ended",
  UNAVAILABLE: "Could not be checked",
};

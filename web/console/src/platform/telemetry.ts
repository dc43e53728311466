// What this player lived through, told to the stream's owner in sums; only where the platform asks for it.
// Words and meanings are those of the glossary: docs/glossary.md, "Viewing".
import { facts } from "./facts";

const EVERY = 30_000;
const PATH = "/playback/telemetry/";

interface Sight {
  /** Bits a second of what is on screen; 0 while unknown. */
  bitrate: number;
  /** Seconds behind the camera; null while unknown. */
  latency: number | null;
}

export class Telemetry {
  private readonly session = crypto.randomUUID?.() ?? String(Math.random()).slice(2);
  private token = "";
  private content = "";
  private sequence = 0;
  private wishedAt = 0;
  private resolvedAt = 0;
  private loadedAt = 0;
  private shownAt = 0;
  private wished = false;
  private booted = false;
  private failed = false;
  private over = false;
  private state: "none" | "playing" | "stalled" = "none";
  private since = 0;
  private bitrate = 0;
  private sums = { playedMs: 0, rebufferMs: 0, rebufferCount: 0, bitrateBpsSeconds: 0, abrUpswitchCount: 0, abrDownswitchCount: 0 };
  private frames = { total: 0, dropped: 0 };
  private readonly timer: ReturnType<typeof setInterval>;
  private readonly leaves = (): void => {
    if (document.hidden) this.report(false);
  };
  private readonly goes = (): void => this.end();

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly see: () => Sight,
  ) {
    this.timer = setInterval(() => this.report(false), EVERY);
    document.addEventListener("visibilitychange", this.leaves);
    addEventListener("pagehide", this.goes);
  }

  /** Asking where to watch began at `asked` and was answered just now. */
  answered(content: string, token: string, asked: number): void {
    this.content = content;
    this.token = token;
    if (this.wished) return;
    this.wished = true;
    this.wishedAt = asked;
    this.resolvedAt = performance.now();
  }

  /** The browser waits for a click: until then nobody wished to watch. */
  blocked(): void {
    this.wished = this.shownAt > 0;
  }

  clicked(): void {
    if (this.shownAt) return;
    this.wished = true;
    this.wishedAt = this.resolvedAt = performance.now();
  }

  loaded(): void {
    this.loadedAt ||= performance.now();
  }

  playing(): void {
    this.pass("playing");
    if (this.shownAt) return;
    this.shownAt = performance.now();
    this.failed = false;
    this.boot("success");
  }

  waiting(): void {
    if (!this.shownAt || this.video.seeking || this.video.paused || this.state === "stalled") return;
    this.pass("stalled");
    this.sums.rebufferCount += 1;
  }

  paused(): void {
    this.pass("none");
  }

  /** Nothing plays any more; before the first frame that is a failed boot. */
  lost(): void {
    this.pass("none");
    if (this.shownAt || !this.wished) return;
    this.failed = true;
    this.boot("error", "no_source");
  }

  /** Look at the picture now and then, so that bitrate and its changes are known by time. */
  look(): void {
    this.pass(this.state);
    const { bitrate } = this.see();
    if (this.bitrate && bitrate > this.bitrate) this.sums.abrUpswitchCount += 1;
    if (bitrate && bitrate < this.bitrate) this.sums.abrDownswitchCount += 1;
    this.bitrate = bitrate || this.bitrate;
  }

  end(): void {
    if (this.over) return;
    this.pass("none");
    if (!this.shownAt && this.wished) this.boot("abandoned");
    this.report(true);
    this.over = true;
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.leaves);
    removeEventListener("pagehide", this.goes);
  }

  private pass(state: "none" | "playing" | "stalled"): void {
    const now = performance.now();
    const spent = now - this.since;
    if (this.state === "playing") {
      this.sums.playedMs += spent;
      this.sums.bitrateBpsSeconds += (this.bitrate * spent) / 1000;
    } else if (this.state === "stalled") this.sums.rebufferMs += spent;
    this.state = state;
    this.since = now;
  }

  private boot(outcome: string, errorCode = ""): void {
    if (this.booted) return;
    this.booted = true;
    const span = (from: number, to: number): number => (from && to > from ? Math.round(to - from) : 0);
    this.send("boot", {
      outcome,
      errorCode,
      totalTtfMs: span(this.wishedAt, this.shownAt),
      spans: {
        gatewayResolveMs: span(this.wishedAt, this.resolvedAt),
        connectMs: span(this.resolvedAt, this.loadedAt),
        prebufferMs: span(this.loadedAt, this.shownAt),
      },
    });
  }

  private report(isFinal: boolean): void {
    if (this.over) return;
    this.pass(this.state);
    const quality = this.video.getVideoPlaybackQuality?.();
    const frames = { total: quality?.totalVideoFrames ?? 0, dropped: quality?.droppedVideoFrames ?? 0 };
    const dropped = Math.max(0, frames.dropped - this.frames.dropped);
    const { latency } = this.see();
    this.send("session", {
      beaconSeq: this.sequence++,
      isFinal,
      playIntent: this.wished,
      firstFrame: this.shownAt > 0,
      fatalError: this.failed,
      ...Object.fromEntries(Object.entries(this.sums).map(([name, sum]) => [name, Math.round(sum)])),
      framesDecoded: Math.max(0, frames.total - this.frames.total - dropped),
      framesDropped: dropped,
      liveEdgeLatencyMs: latency === null ? 0 : Math.round(latency * 1000),
    });
    this.frames = frames;
    for (const name of Object.keys(this.sums) as (keyof typeof this.sums)[]) this.sums[name] = 0;
  }

  private send(kind: "boot" | "session", report: object): void {
    if (!facts.telemetry || !this.token) return;
    const body = { telemetryToken: this.token, sessionId: this.session, contentId: this.content, playerType: "console", protocol: "hls", ...report };
    navigator.sendBeacon(PATH + kind, new Blob([JSON.stringify(body)], { type: "text/plain" }));
  }
}

// HLS in a video element: hls.js where the browser has Media Source Extensions, the browser itself elsewhere.
import type Hls from "hls.js";

export interface Level {
  index: number;
  label: string;
}

export interface Engine {
  /** Seconds behind the camera; null while unknown. */
  latency(): number | null;
  levels(): Level[];
  /** -1: the player chooses. */
  choose(index: number): void;
  current(): string;
  /** Bits a second of the rendition; 0 while unknown. */
  bitrate(): number;
  toLiveEdge(): void;
  destroy(): void;
}

/** Play the first of `urls` that works; `failed` is called when none does any more. */
export async function engine(video: HTMLVideoElement, urls: string[], failed: () => void): Promise<Engine> {
  const { default: Player } = await import("hls.js");
  if (Player.isSupported()) return withHls(Player, video, urls, failed);
  return natively(video, urls, failed);
}

function withHls(Player: typeof Hls, video: HTMLVideoElement, urls: string[], failed: () => void): Engine {
  let next = 0;
  let recovered = 0;
  const hls = new Player({
    lowLatencyMode: true,
    backBufferLength: 30,
    maxLiveSyncPlaybackRate: 1.08,
    manifestLoadPolicy: policy(4000, 2),
    playlistLoadPolicy: policy(8000, 3),
  });
  const load = (): void => {
    const url = urls[next++];
    if (url) hls.loadSource(url);
    else failed();
  };
  hls.on(Player.Events.ERROR, (_, problem) => {
    if (!problem.fatal) return;
    if (problem.type === Player.ErrorTypes.MEDIA_ERROR && recovered++ < 2) hls.recoverMediaError();
    else load();
  });
  hls.attachMedia(video);
  load();
  return {
    latency: () => behind(hls.playingDate) ?? (hls.latency > 0 ? hls.latency : null),
    levels: () => hls.levels.map((level, index) => ({ index, label: level.height ? `${level.height}p` : `${Math.round(level.bitrate / 1000)} kbit/s` })),
    choose: (index) => (hls.currentLevel = index),
    current: () => {
      const height = hls.levels[hls.currentLevel]?.height || video.videoHeight;
      return height ? `${height}p` : "";
    },
    bitrate: () => hls.levels[hls.currentLevel]?.bitrate ?? 0,
    toLiveEdge: () => {
      if (hls.liveSyncPosition !== null) video.currentTime = hls.liveSyncPosition;
    },
    destroy: () => hls.destroy(),
  };
}

function policy(first: number, retries: number) {
  const retry = { maxNumRetry: retries, retryDelayMs: 500, maxRetryDelayMs: 4000 };
  return {
    default: { maxTimeToFirstByteMs: first, maxLoadTimeMs: 20_000, timeoutRetry: retry, errorRetry: retry },
  };
}

/** By the program date-time of the picture on screen; nonsense from a wrong wall clock counts as unknown. */
function behind(shown: Date | null): number | null {
  if (!shown) return null;
  const seconds = (Date.now() - shown.getTime()) / 1000;
  return seconds > 0 && seconds < 600 ? seconds : null;
}

function natively(video: HTMLVideoElement, urls: string[], failed: () => void): Engine {
  let next = 0;
  const load = (): void => {
    const url = urls[next++];
    if (url) video.src = url;
    else failed();
  };
  video.addEventListener("error", load);
  load();
  const dated = video as HTMLVideoElement & { getStartDate?: () => Date };
  return {
    latency: () => {
      const start = dated.getStartDate?.().getTime() ?? NaN;
      return Number.isNaN(start) ? null : behind(new Date(start + video.currentTime * 1000));
    },
    levels: () => [],
    choose: () => undefined,
    current: () => (video.videoHeight ? `${video.videoHeight}p` : ""),
    bitrate: () => 0,
    toLiveEdge: () => {
      if (video.seekable.length) video.currentTime = video.seekable.end(video.seekable.length - 1) - 2;
    },
    destroy: () => {
      video.removeEventListener("error", load);
      video.removeAttribute("src");
      video.load();
    },
  };
}

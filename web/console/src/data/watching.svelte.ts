// One stream as of now and over the last minutes: snapshot, series, then measurements as they come.
import LIVE_EVENTS from "../graphql/live_events.graphql?raw";
import LIVE_STREAM from "../graphql/live_stream.graphql?raw";
import STREAM from "../graphql/stream.graphql?raw";
import SERIES from "../graphql/stream_series.graphql?raw";
import { Failure, words } from "../platform/failure";
import { query } from "../platform/graphql";
import { live } from "../platform/live.svelte";
import { problem, problemsIn, type Problem } from "./problems";
import type { LiveSample, Series, StreamDetail, StreamEvent } from "./shapes";

export const RANGES = [
  { label: "15 min", seconds: 900 },
  { label: "1 h", seconds: 3600 },
  { label: "6 h", seconds: 21_600 },
  { label: "24 h", seconds: 86_400 },
] as const;

const POINTS = 300;

type Column = (number | null)[];

/** What the charts draw: seconds, then a column each; null is a gap. */
export interface Columns {
  at: number[];
  viewers: Column;
  bitrate: Column;
  fps: Column;
  keyframe: Column;
  problems: string[][];
}

const empty = (): Columns => ({ at: [], viewers: [], bitrate: [], fps: [], keyframe: [], problems: [] });

export class Watching {
  stream = $state<StreamDetail | null>(null);
  failure = $state<string | null>(null);
  isMissing = $state(false);
  /** Replaced, not changed: charts draw it as a whole. */
  columns = $state.raw<Columns>(empty());
  step = $state(5);
  seconds = $state<number>(RANGES[0].seconds);
  latest = $state<LiveSample | null>(null);
  events = $state<StreamEvent[]>([]);
  samples = new Set<(sample: LiveSample) => void>();

  #asked = false;

  constructor(readonly id: string) {}

  readonly isLive = $derived(this.stream?.metrics?.isLive ?? false);
  readonly viewers = $derived(this.stream?.metrics?.currentViewers ?? 0);
  readonly problems: Problem[] = $derived(
    !this.isLive
      ? []
      : this.latest?.issues
        ? this.latest.issues.map(problem)
        : problemsIn(this.stream?.metrics?.issuesDescription ?? null),
  );

  follow(): () => void {
    void this.load();
    void this.loadSeries();
    const resumed = (): void => {
      void this.load();
      void this.loadSeries();
    };
    const variables = { id: this.id };
    const leaveSamples = live.follow<{ liveViewerMetrics: LiveSample }>(
      LIVE_STREAM,
      variables,
      (data) => this.#sampled(data.liveViewerMetrics),
      resumed,
    );
    const leaveEvents = live.follow<{ liveStreamEvents: StreamEvent }>(LIVE_EVENTS, variables, (data) =>
      this.#happened(data.liveStreamEvents),
    );
    return () => {
      leaveSamples();
      leaveEvents();
    };
  }

  async load(): Promise<void> {
    try {
      this.stream = (await query<{ stream: StreamDetail | null }>(STREAM, { id: this.id })).stream;
      this.isMissing = this.stream === null;
      this.failure = null;
    } catch (error) {
      this.isMissing = error instanceof Failure && (error.code === "NOT_FOUND" || error.code === "VALIDATION_ERROR");
      this.failure = words(error);
    }
  }

  async loadSeries(): Promise<void> {
    const end = new Date();
    const start = new Date(end.getTime() - this.seconds * 1000);
    const variables = { id: this.id, start: start.toISOString(), end: end.toISOString(), points: POINTS };
    try {
      const found = await query<{ analytics: { health: { streamSeries: Series } } }>(SERIES, variables);
      const series = found.analytics.health.streamSeries;
      this.step = Math.max(1, series.stepSeconds);
      this.columns = spread(series);
    } catch {
      this.columns = empty();
    }
  }

  range(seconds: number): void {
    this.seconds = seconds;
    void this.loadSeries();
  }

  #sampled(sample: LiveSample): void {
    for (const then of this.samples) then(sample);
    const metrics = this.stream?.metrics;
    if (sample.action === "metrics") {
      this.latest = sample;
      if (metrics) {
        metrics.isLive = true;
        metrics.status = "LIVE";
        if (sample.viewers !== null) metrics.currentViewers = sample.viewers;
        // Samples have no picture size: ask once when the stream was off at load.
        if (!metrics.primaryHeight && !this.#asked) {
          this.#asked = true;
          void this.load();
        }
        if (sample.fps !== null) metrics.primaryFps = sample.fps;
        if (sample.bitrateKbps !== null) metrics.primaryBitrate = sample.bitrateKbps;
      }
      this.columns = appended(this.columns, sample, this.step, this.seconds);
    } else if (metrics) {
      metrics.currentViewers = Math.max(0, metrics.currentViewers + (sample.action === "connect" ? 1 : -1));
    }
  }

  #happened(event: StreamEvent): void {
    if (!this.events.some((known) => known.id === event.id)) this.events = [event, ...this.events].slice(0, 100);
    const metrics = this.stream?.metrics;
    if (!metrics) return;
    if (event.type === "STREAM_START") metrics.startedAt = event.timestamp;
    if (event.status === "LIVE" && !metrics.isLive) {
      metrics.isLive = true;
      metrics.status = "LIVE";
      metrics.startedAt = event.timestamp;
      void this.load();
    }
    if (event.status === "OFFLINE" || event.status === "ENDED") {
      metrics.isLive = false;
      metrics.status = "OFFLINE";
      metrics.currentViewers = 0;
      this.latest = null;
    }
  }
}

/** The series with a gap wherever samples are missing. */
function spread(series: Series): Columns {
  const columns = empty();
  let before = 0;
  for (const [index, instant] of series.at.entries()) {
    const at = Date.parse(instant) / 1000;
    if (before && at - before > Math.max(3 * series.stepSeconds, 30)) gap(columns, before + 1);
    before = at;
    columns.at.push(at);
    columns.viewers.push(series.viewers[index] ?? null);
    columns.bitrate.push(series.bitrateKbps[index] ?? null);
    columns.fps.push(series.fps[index] ?? null);
    columns.keyframe.push(seconds(series.keyframeMs[index] ?? null));
    columns.problems.push(series.issues[index] ?? []);
  }
  return columns;
}

function seconds(milliseconds: number | null): number | null {
  return milliseconds ? milliseconds / 1000 : null;
}

function gap(columns: Columns, at: number): void {
  columns.at.push(at);
  for (const column of [columns.viewers, columns.bitrate, columns.fps, columns.keyframe]) column.push(null);
  columns.problems.push([]);
}

function appended(columns: Columns, sample: LiveSample, step: number, window: number): Columns {
  const last = columns.at.at(-1) ?? 0;
  if (sample.timestamp <= last) return columns;
  const from = columns.at.findIndex((at) => at >= sample.timestamp - window);
  const keep = <T>(column: T[]): T[] => (from < 0 ? [] : column.slice(from));
  const next: Columns = {
    at: keep(columns.at),
    viewers: keep(columns.viewers),
    bitrate: keep(columns.bitrate),
    fps: keep(columns.fps),
    keyframe: keep(columns.keyframe),
    problems: keep(columns.problems),
  };
  if (last && sample.timestamp - last > Math.max(3 * step, 30)) gap(next, last + 1);
  next.at.push(sample.timestamp);
  next.viewers.push(sample.viewers);
  next.bitrate.push(sample.bitrateKbps);
  next.fps.push(sample.fps);
  next.keyframe.push(seconds(sample.keyframeMs));
  next.problems.push(sample.issues ?? []);
  return next;
}

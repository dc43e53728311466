// All streams of the tenant as of now: a snapshot, then what happens.
import FIREHOSE from "../graphql/firehose.graphql?raw";
import STREAMS from "../graphql/streams.graphql?raw";
import { words } from "../platform/failure";
import { query } from "../platform/graphql";
import { live } from "../platform/live.svelte";
import { session } from "../platform/session.svelte";
import { problemsIn } from "./problems";
import type { StreamRow } from "./shapes";

const PAGE = 60;
const KEPT = 30;

interface Page {
  streamsConnection: {
    totalCount: number;
    pageInfo: { hasNextPage: boolean; endCursor: string | null };
    nodes: StreamRow[];
  };
}

interface Happening {
  liveFirehose: {
    type: string;
    timestamp: string;
    streamEvent: {
      id: string;
      streamId: string | null;
      type: string;
      status: string | null;
      details: string | null;
      timestamp: string;
    } | null;
    viewerMetrics: {
      streamId: string;
      action: string;
      viewers: number | null;
      bitrateKbps: number | null;
      fps: number | null;
      issues: string[] | null;
    } | null;
    connectionEvent: {
      id: string;
      streamId: string;
      sessionId: string;
      eventType: string;
      connector: string;
      countryCode: string | null;
      city: string | null;
      timestamp: string;
    } | null;
  };
}

export interface News {
  id: string;
  at: string;
  streamId: string | null;
  sessionId?: string;
  kind: "live" | "offline" | "came" | "left";
  text: string;
}

const PLACES = (city: string | null, code: string | null): string => [city, code].filter(Boolean).join(", ");

class Fleet {
  streams = $state<StreamRow[]>([]);
  total = $state(0);
  isLoaded = $state(false);
  failure = $state<string | null>(null);
  news = $state<News[]>([]);
  /** Grows with each measurement of a stream: posters are asked for again then. */
  beats = $state<Record<string, number>>({});
  search = $state("");
  #end: string | null = null;
  #followers = 0;
  #leave = (): void => {};

  readonly live = $derived(this.streams.filter((stream) => stream.metrics?.isLive));
  readonly viewers = $derived(this.live.reduce((sum, stream) => sum + (stream.metrics?.currentViewers ?? 0), 0));
  readonly troubled = $derived(
    this.live.filter((stream) => problemsIn(stream.metrics?.issuesDescription ?? null).length > 0),
  );
  readonly hasMore = $derived(this.streams.length < this.total);

  constructor() {
    session.onEnd(() => this.#clear());
  }

  /** Keep up to date while a page shows this; returns how to stop. */
  follow(): () => void {
    this.#followers += 1;
    if (this.#followers === 1) {
      void this.load();
      this.#leave = live.follow<Happening>(FIREHOSE, {}, (data) => this.#happened(data.liveFirehose), () => void this.load());
    }
    return () => {
      this.#followers -= 1;
      if (this.#followers === 0) this.#leave();
    };
  }

  async load(): Promise<void> {
    try {
      const page = await this.#page(null);
      this.streams = page.nodes;
      this.failure = null;
    } catch (error) {
      this.failure = words(error);
    }
    this.isLoaded = true;
  }

  async more(): Promise<void> {
    const page = await this.#page(this.#end);
    this.streams = [...this.streams, ...page.nodes];
  }

  find(streamId: string | null): StreamRow | undefined {
    return this.streams.find((stream) => stream.streamId === streamId);
  }

  forget(streamId: string): void {
    this.streams = this.streams.filter((stream) => stream.streamId !== streamId);
    this.total -= 1;
  }

  #clear(): void {
    this.streams = [];
    this.news = [];
    this.isLoaded = false;
    this.search = "";
  }

  async #page(after: string | null): Promise<Page["streamsConnection"]> {
    const found = await query<Page>(STREAMS, { first: PAGE, after, search: this.search || null });
    this.total = found.streamsConnection.totalCount;
    this.#end = found.streamsConnection.pageInfo.endCursor;
    return found.streamsConnection;
  }

  #happened(event: Happening["liveFirehose"]): void {
    if (event.viewerMetrics) this.#measured(event.viewerMetrics);
    if (event.streamEvent) this.#changed(event.streamEvent);
    if (event.connectionEvent) this.#moved(event.connectionEvent);
  }

  #measured(found: NonNullable<Happening["liveFirehose"]["viewerMetrics"]>): void {
    const metrics = this.find(found.streamId)?.metrics;
    if (!metrics || found.action !== "metrics") return;
    metrics.isLive = true;
    metrics.status = "LIVE";
    if (found.viewers !== null) metrics.currentViewers = found.viewers;
    if (found.bitrateKbps !== null) metrics.primaryBitrate = found.bitrateKbps;
    if (found.fps !== null) metrics.primaryFps = found.fps;
    metrics.issuesDescription = (found.issues ?? []).join(", ");
    this.beats[found.streamId] = (this.beats[found.streamId] ?? 0) + 1;
  }

  #changed(found: NonNullable<Happening["liveFirehose"]["streamEvent"]>): void {
    const stream = this.find(found.streamId);
    const metrics = stream?.metrics;
    if (!stream) return;
    if (found.type === "STREAM_START" && metrics) metrics.startedAt = found.timestamp;
    if (found.status === "LIVE" && metrics && !metrics.isLive) {
      metrics.isLive = true;
      metrics.status = "LIVE";
      metrics.startedAt = found.timestamp;
      this.#tell({ id: found.id, at: found.timestamp, streamId: found.streamId, kind: "live", text: "went live" });
    }
    if ((found.status === "OFFLINE" || found.status === "ENDED") && metrics?.isLive) {
      metrics.isLive = false;
      metrics.status = "OFFLINE";
      metrics.currentViewers = 0;
      const why = found.details ? `: ${found.details}` : "";
      this.#tell({ id: found.id, at: found.timestamp, streamId: found.streamId, kind: "offline", text: `ended${why}` });
    }
  }

  #moved(found: NonNullable<Happening["liveFirehose"]["connectionEvent"]>): void {
    const came = found.eventType === "connect";
    const metrics = this.find(found.streamId)?.metrics;
    if (metrics) metrics.currentViewers = Math.max(0, metrics.currentViewers + (came ? 1 : -1));
    const place = PLACES(found.city, found.countryCode);
    const text = `viewer ${came ? "joined" : "left"}${place ? ` from ${place}` : ""} (${found.connector})`;
    this.#tell({
      id: found.id,
      at: found.timestamp,
      streamId: found.streamId,
      sessionId: found.sessionId,
      kind: came ? "came" : "left",
      text,
    });
  }

  #tell(news: News): void {
    if (this.news.some((known) => known.id === news.id)) return;
    this.news = [news, ...this.news].slice(0, KEPT);
  }
}

export const fleet = new Fleet();

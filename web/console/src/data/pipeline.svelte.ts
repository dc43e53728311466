// The flow of events as it is now, and the boxes it is drawn with.
import LIVE from "../graphql/live_pipeline.graphql?raw";
import { bytes, count } from "../platform/format";
import { live } from "../platform/live.svelte";

export interface Problem {
  place: string;
  isBroken: boolean;
  code: string;
  message: string;
  remedy: string | null;
}

export type Flow = Record<
  | "recorded"
  | "delivered"
  | "accepted"
  | "refused"
  | "stored"
  | "buried"
  | "rolledUp"
  | "pushed"
  | "written"
  | "admissions"
  | "calls"
  | "sockets"
  | "sessions",
  number | null
>;

export interface Topic {
  topic: string;
  group: string;
  lag: number;
  isRunning: boolean;
  reason: string | null;
  worstLag: number;
  worstPartition: number;
  perSecond: number;
}

export interface Process {
  id: string;
  name: string;
  modules: string[];
  status: string;
  reportedAt: string;
}

export interface Status {
  observedAt: string;
  isKnown: boolean;
  problems: Problem[];
  flow: Flow;
  engines: { name: string; isUp: boolean; lastError: string | null }[];
  edges: { node: string; waitingBytes: number; limitBytes: number | null }[];
  processes: Process[];
  topics: Topic[];
  rates: { type: string; perMinute: number }[];
  dirtyBuckets: number;
  oldestDirtyAt: string | null;
  newestEventAt: string | null;
  unclaimedEvents: number;
  deadLetters: number;
  liveStreams: number;
  openSessions: number;
}

const KEPT = 90;

class Pipeline {
  /** The last sample in which Periscope answered. */
  status = $state.raw<Status | null>(null);
  problems = $state.raw<Problem[]>([]);
  /** When the last sample came, answered or not. */
  heardAt = $state(0);
  isKnown = $state(true);
  /** Events stored by the second, oldest first. */
  history = $state.raw<number[]>([]);

  follow(): () => void {
    return live.follow<{ pipelineStatus: Status }>(LIVE, {}, (data) => this.#take(data.pipelineStatus));
  }

  #take(found: Status): void {
    this.heardAt = Date.now();
    this.problems = found.problems;
    this.isKnown = found.isKnown;
    if (!found.isKnown) return;
    this.status = found;
    this.history = [...this.history, found.flow.stored ?? 0].slice(-KEPT);
  }
}

export const pipeline = new Pipeline();

export type Standing = "good" | "warning" | "bad" | "unknown";

export interface Fact {
  label: string;
  value: string;
}

export interface Box {
  place: string;
  name: string;
  what: string;
  /** The one figure inside the box. */
  figure: string;
  facts: Fact[];
  standing: Standing;
}

/** Events by the second: small ones with a decimal, unknown ones as a dash. */
export function perSecond(value: number | null): string {
  if (value === null) return "–";
  return value < 10 ? `${Math.round(value * 10) / 10}/s` : `${count(Math.round(value))}/s`;
}

const amount = (value: number | null): string => (value === null ? "–" : count(value));

function standingOf(place: string, problems: Problem[], isTold: boolean): Standing {
  const here = problems.filter((problem) => problem.place === place);
  if (here.some((problem) => problem.isBroken)) return "bad";
  if (here.length) return "warning";
  return isTold ? "good" : "unknown";
}

/** The boxes of the drawing by place, with what is said inside each. */
export function boxesOf(status: Status, problems: Problem[]): Record<string, Box> {
  const { flow, topics } = status;
  const running = new Set(status.processes.filter((p) => p.status !== "silent").flatMap((p) => p.modules));
  const engine = (name: string): boolean => status.engines.some((found) => found.name === name);
  const waiting = status.edges.reduce((sum, edge) => sum + edge.waitingBytes, 0);
  const lagOf = (group: string): number =>
    topics.reduce((sum, topic) => sum + (topic.group === group ? topic.lag : 0), 0);
  const lag = lagOf("periscope-ingest");
  const box = (place: string, name: string, what: string, figure: string, isTold: boolean, facts: [string, string][]): Box => ({
    place,
    name,
    what,
    figure,
    standing: standingOf(place, problems, isTold),
    facts: facts.map(([label, value]) => ({ label, value })),
  });
  const boxes = [
    box("encoder", "Encoders", "Publishers push", `${count(status.liveStreams)} live`, true, [
      ["Live streams", count(status.liveStreams)],
      ["Admissions asked for", perSecond(flow.admissions)],
    ]),
    box("node", "Node", "Media and Helmsman", `${bytes(waiting)} wait`, running.has("helmsman") || running.has("mist"), [
      ["Events recorded", perSecond(flow.recorded)],
      ["Events delivered", perSecond(flow.delivered)],
      ["Waiting at edges", bytes(waiting)],
      ["Viewer sessions", amount(flow.sessions)],
    ]),
    box("decklog", "Decklog", "Judges, appends", perSecond(flow.accepted), running.has("decklog"), [
      ["Events accepted", perSecond(flow.accepted)],
      ["Events refused", perSecond(flow.refused)],
    ]),
    box("eventlog", "Event log", `${count(new Set(topics.map((topic) => topic.topic)).size)} topics read`, `${count(status.deadLetters)} dead`, engine("eventlog"), [
      ...topics.map((topic): [string, string] => [`${topic.group} behind in ${topic.topic}`, count(topic.lag)]),
      ["Dead letters", count(status.deadLetters)],
    ]),
    box("ingest", "Periscope", "Reads, stores", `${count(lag)} behind`, running.has("periscope-ingest"), [
      ["Events stored", perSecond(flow.stored)],
      ["Records behind", count(lag)],
      ["Frames buried", perSecond(flow.buried)],
      ["Unclaimed events", count(status.unclaimedEvents)],
    ]),
    box("clickhouse", "ClickHouse", "Facts and roll-ups", `${count(status.dirtyBuckets)} dirty`, engine("clickhouse"), [
      ["Buckets to roll up", count(status.dirtyBuckets)],
      ["Recomputed", perSecond(flow.rolledUp)],
    ]),
    box("postgresql", "PostgreSQL", "Current state", `${count(status.openSessions)} sessions`, engine("postgresql"), [
      ["Open sessions", count(status.openSessions)],
      ["Live streams", count(status.liveStreams)],
    ]),
    box("signalman", "Signalman", "Live changes", perSecond(flow.pushed), running.has("signalman"), [
      ["Changes pushed", perSecond(flow.pushed)],
      ["Records behind", count(lagOf("signalman"))],
    ]),
    box("sockets", "Sockets", "Pages and apps", `${amount(flow.sockets)} open`, true, [
      ["Sockets open", amount(flow.sockets)],
      ["Changes written", perSecond(flow.written)],
    ]),
    box("control", "Control plane", "Who may do what, and where", perSecond(flow.calls), running.has("commodore"), [
      ["Calls between services", perSecond(flow.calls)],
      ["Admissions asked for", perSecond(flow.admissions)],
    ]),
  ];
  return Object.fromEntries(boxes.map((made) => [made.place, made]));
}

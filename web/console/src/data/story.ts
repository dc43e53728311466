// A stream's events told as what happened, without the steps that say the same twice.
import { country, span } from "../platform/format";
import { problemsIn, REFUSALS } from "./problems";
import type { Refusal, StreamEvent } from "./shapes";

export interface Line {
  id: string;
  at: string;
  title: string;
  more: string;
  tone: "live" | "bad" | "warning" | "plain";
}

const ENDS: Record<string, string> = {
  NODE_RESTARTED: "The node restarted.",
  STREAM_END: "The encoder stopped.",
  EMPTY: "No media came any more.",
  CLEAN_REMOTE_CLOSE: "The encoder disconnected.",
  CLEAN_EOF: "The encoder finished.",
  CLEAN_INTENDED_STOP: "It was stopped here.",
  CLEAN_SIGNAL: "The node shut down.",
};
/** Said again by an event beside it, or of interest only to machines. */
const SILENT = new Set(["STREAM_START", "TRACK_LIST_UPDATE"]);

/** Newest first. */
export function story(events: StreamEvent[], refusals: Refusal[]): Line[] {
  const lines = [...events.map(told).filter((line) => line !== null), ...refusals.map(refused)];
  lines.sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  return lines.filter((line, index) => {
    const newer = lines[index - 1];
    const isRepeated = newer?.title === line.title && Date.parse(newer.at) - Date.parse(line.at) < 60_000;
    if (isRepeated && !newer.more) newer.more = line.more;
    return !isRepeated;
  });
}

function told(event: StreamEvent): Line | null {
  const shared = { id: event.id, at: event.timestamp };
  if (event.status === "OFFLINE" || event.status === "ENDED") return { ...shared, title: "Ended", more: end(event), tone: "plain" };
  if (SILENT.has(event.type)) return null;
  if (event.type === "STREAM_SOURCE" || event.protocol) return { ...shared, title: `Encoder connected${event.protocol ? ` over ${event.protocol}` : ""}`, more: from(event), tone: "plain" };
  if (event.status === "LIVE") return { ...shared, title: "Went live", more: start(event), tone: "live" };
  if (event.type === "BUFFER_UPDATE") return buffer(event);
  return event.details ? { ...shared, title: "Changed", more: event.details, tone: "plain" } : null;
}

function start({ payload, details }: StreamEvent): string {
  if (payload?.reason === "RESUMED") return "It went on after an interruption.";
  const wait = payload?.durationMs;
  return details ?? (wait ? `The first picture could be watched after ${(wait / 1000).toFixed(1)} s.` : "");
}

function end({ payload, details }: StreamEvent): string {
  const why = details || ENDS[payload?.reason ?? ""] || "";
  const lasted = payload?.durationMs ? `It was on for ${span(payload.durationMs / 1000)}.` : "";
  return [why, lasted].filter(Boolean).join(" ");
}

function from({ city, countryCode }: StreamEvent): string {
  const place = [city, countryCode ? country(countryCode) : null].filter(Boolean).join(", ");
  return place ? `From ${place}.` : "";
}

function buffer(event: StreamEvent): Line | null {
  const shared = { id: event.id, at: event.timestamp };
  if (event.bufferState === "DRY") return { ...shared, title: "Stalled", more: "Media stopped arriving.", tone: "bad" };
  if (event.bufferState === "RECOVER") return { ...shared, title: "Recovered", more: "Media arrives again.", tone: "plain" };
  if (!event.hasIssues) return null;
  const titles = problemsIn(event.payload?.issues?.join(",") ?? null).map((problem) => problem.title);
  return { ...shared, title: "Problems began", more: titles.length ? `${titles.join(". ")}.` : "", tone: "warning" };
}

function refused(found: Refusal): Line {
  const what = found.reason === "BITRATE_LIMIT" ? "Encoder cut off" : "Encoder refused";
  const key = found.keyFingerprint ? ` (key ${found.keyFingerprint.slice(0, 8)}…, ${found.protocol})` : "";
  return {
    id: found.id,
    at: found.refusedAt,
    title: `${what}: ${(REFUSALS[found.reason] ?? found.reason).toLowerCase()}`,
    more: `${found.message}${key}`,
    tone: "bad",
  };
}

// Where a playback id can be watched now, as Foghorn says.
import { Failure, OFFLINE } from "./failure";

export interface Endpoint {
  node_id: string;
  protocol: string;
  url: string;
  base_url: string;
  outputs: Record<string, string>;
}

export interface Playback {
  state: "live" | "starting" | "offline" | "full";
  playback_id: string;
  title: string;
  viewers: number;
  primary: Endpoint | null;
  fallbacks: Endpoint[];
  retry_after_ms: number;
  /** What reports of this viewing are sent with. */
  telemetry_token?: string;
}

export async function playback(id: string): Promise<Playback> {
  let response: Response;
  try {
    response = await fetch(`/play/${encodeURIComponent(id)}`, { headers: { accept: "application/json" } });
  } catch {
    throw OFFLINE;
  }
  if (response.status === 404) throw new Failure("There is no stream with this address.", "NOT_FOUND");
  if (!response.ok) throw new Failure("The platform is restarting. Trying again.", "UNAVAILABLE");
  return (await response.json()) as Playback;
}

/** HLS addresses, the lowest latency first. */
export function sources(found: Playback): string[] {
  const endpoints = [found.primary, ...found.fallbacks].filter((endpoint) => endpoint !== null);
  return endpoints
    .map((endpoint) => endpoint.outputs["HLS_CMAF"] ?? endpoint.outputs["HLS"] ?? endpoint.url)
    .filter((url, index, all) => all.indexOf(url) === index);
}

export function poster(endpoint: Endpoint, id: string, version: number): string {
  return `${endpoint.base_url}/${id}.jpg?v=${version}`;
}

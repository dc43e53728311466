// The live socket: one for the page, shared by every subscription, resumed silently.
import { createClient, type Client } from "graphql-ws";

import { nameOf, type Variables } from "./graphql";
import { session } from "./session.svelte";

const EXPIRED = 4401;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;

export type LiveState = "off" | "connecting" | "live" | "lost";

function pause(attempt: number): Promise<void> {
  const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** attempt) * (0.75 + Math.random() / 2);
  return new Promise((done) => setTimeout(done, wait));
}

class Live {
  state = $state<LiveState>("off");
  #client: Client | null = null;
  #resumed = new Set<() => void>();
  #before = false;

  /**
   * Follow a subscription until the returned function is called.
   * `next` gets each result; `resumed` runs after a gap, when a new snapshot is due.
   */
  follow<T>(document: string, variables: Variables, next: (data: T) => void, resumed?: () => void): () => void {
    let stopped = false;
    let leave = (): void => {};
    let attempt = 0;
    if (resumed) this.#resumed.add(resumed);
    const start = (): void => {
      leave = this.#open().subscribe<T>(
        { query: document, variables, operationName: nameOf(document) },
        {
          next: ({ data }) => {
            attempt = 0;
            if (data) next(data);
          },
          error: (reason) => void again(reason),
          complete: () => void again(null),
        },
      );
    };
    const again = async (reason: unknown): Promise<void> => {
      if (stopped) return;
      const expired = reason instanceof CloseEvent && reason.code === EXPIRED;
      const isStranger = Array.isArray(reason) && reason.some((error) => error?.extensions?.code === "UNAUTHORIZED");
      if (expired || isStranger) await session.renew().catch(() => false);
      await pause(expired ? 0 : (attempt += 1));
      // A socket keeps the credential it was opened with, so a new cookie needs a new socket.
      if (isStranger) this.#client?.terminate();
      if (stopped) return;
      start();
      resumed?.();
    };
    start();
    return () => {
      stopped = true;
      if (resumed) this.#resumed.delete(resumed);
      leave();
    };
  }

  /** Close the socket, as on signing out. */
  close(): void {
    void this.#client?.dispose();
    this.#client = null;
    this.#before = false;
    this.state = "off";
  }

  #open(): Client {
    this.#client ??= createClient({
      url: async () => {
        await session.fresh().catch(() => undefined);
        return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/graphql/ws`;
      },
      lazyCloseTimeout: 3000,
      keepAlive: 12_000,
      retryAttempts: Infinity,
      retryWait: pause,
      shouldRetry: () => true,
      on: {
        connecting: () => (this.state = this.state === "lost" ? "lost" : "connecting"),
        connected: () => this.#connected(),
        closed: (event) => (this.state = event instanceof CloseEvent && event.code === 1000 ? "off" : "lost"),
      },
    });
    return this.#client;
  }

  #connected(): void {
    const isGap = this.#before && this.state === "lost";
    this.state = "live";
    this.#before = true;
    if (isGap) for (const then of [...this.#resumed]) then();
  }
}

export const live = new Live();

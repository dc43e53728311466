// Who is signed in. The tokens themselves are in cookies this page can not read.
import { Failure, OFFLINE } from "./failure";

const EXPIRES = "fw.expires";
const MARGIN = 60_000;

interface Answer {
  accessExpiresAt?: string;
  message?: string;
  error?: string;
  code?: string;
  field?: string;
  incidentId?: string;
}

/** Ask `/auth/<path>`; raises Failure. */
export async function ask<T extends object = Answer>(path: string, body?: object): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`/auth/${path}`, {
      method: body ? "POST" : "GET",
      headers: {
        accept: "application/json",
        "x-frameworks-csrf": "1",
        ...(body ? { "content-type": "application/json" } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
  } catch {
    throw OFFLINE;
  }
  const found = (await response.json().catch(() => ({}))) as Answer;
  if (!response.ok) {
    const sentence = found.message ?? found.error ?? "The platform did not answer. Try again in a moment.";
    throw new Failure(sentence, found.code ?? String(response.status), found.field ?? null, found.incidentId ?? null);
  }
  if (found.accessExpiresAt) localStorage.setItem(EXPIRES, found.accessExpiresAt);
  return found as T;
}

class Session {
  #renewing: Promise<boolean> | null = null;
  #ended = new Set<() => void>();

  /** Whether somebody signed in here before; says nothing about whether the session still holds. */
  get isLikely(): boolean {
    return localStorage.getItem(EXPIRES) !== null;
  }

  /** Run `then` when the session can not be continued. */
  onEnd(then: () => void): void {
    this.#ended.add(then);
  }

  /** A new access cookie, once for all who ask at the same time; false when the session is over. */
  renew(): Promise<boolean> {
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  /** Renew only when the access cookie is about to end. */
  async fresh(): Promise<void> {
    const expires = Date.parse(localStorage.getItem(EXPIRES) ?? "");
    if (Number.isNaN(expires) || expires - Date.now() < MARGIN) await this.renew();
  }

  forget(): void {
    localStorage.removeItem(EXPIRES);
    for (const then of this.#ended) then();
  }

  async #renew(): Promise<boolean> {
    try {
      await ask("refresh", {});
      return true;
    } catch (error) {
      if (error instanceof Failure && error.code === "UNAUTHORIZED") {
        this.forget();
        return false;
      }
      throw error;
    }
  }
}

export const session = new Session();

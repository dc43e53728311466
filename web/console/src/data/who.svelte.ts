// The signed-in person and what they may do.
import ME from "../graphql/me.graphql?raw";
import { Failure } from "../platform/failure";
import { query } from "../platform/graphql";
import { live } from "../platform/live.svelte";
import { router } from "../platform/router.svelte";
import { ask, session } from "../platform/session.svelte";
import type { Me } from "./shapes";

class Who {
  me = $state<Me | null>(null);
  /** Whether we know already if somebody is signed in. */
  isKnown = $state(!session.isLikely);
  failure = $state<Failure | null>(null);

  constructor() {
    session.onEnd(() => this.#gone());
  }

  may(scope: string): boolean {
    const held = this.me?.scopes ?? [];
    return held.includes(scope) || held.includes(scope.replace(":read", ":write"));
  }

  async load(): Promise<void> {
    this.failure = null;
    try {
      this.me = (await query<{ me: Me }>(ME)).me;
    } catch (error) {
      if (error instanceof Failure && error.code !== "UNAUTHORIZED") this.failure = error;
    }
    this.isKnown = true;
  }

  async signOut(everywhere = false): Promise<void> {
    await ask(everywhere ? "sign-out-everywhere" : "logout", {});
    session.forget();
    router.go("/login", "replace");
  }

  #gone(): void {
    this.me = null;
    live.close();
  }
}

export const who = new Who();

// Addresses and pages: real links, real history, no page load.
export type Parameters = Record<string, string>;

class Router {
  path = $state(location.pathname);
  search = $state(new URLSearchParams(location.search));

  constructor() {
    addEventListener("popstate", () => this.#read());
    addEventListener("click", (event) => this.#click(event));
  }

  go(to: string, how: "push" | "replace" = "push"): void {
    if (to === this.path + location.search) return;
    history[how === "push" ? "pushState" : "replaceState"](null, "", to);
    const before = this.path;
    this.#read();
    if (how === "push" && before !== this.path) scrollTo(0, 0);
  }

  #read(): void {
    this.path = location.pathname;
    this.search = new URLSearchParams(location.search);
  }

  #click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || link.target || link.origin !== location.origin || link.hasAttribute("download")) return;
    if (/^\/(mail|graphql|auth|play)(\/|$)/.test(link.pathname) || link.hash) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

export const router = new Router();

/** The parameters of `path` if it fits `pattern` ("/streams/:id"), else null. */
export function match(pattern: string, path: string): Parameters | null {
  const wanted = pattern.replace(/\/+$/, "").split("/");
  const given = path.replace(/\/+$/, "").split("/");
  if (wanted.length !== given.length) return null;
  const found: Parameters = {};
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? "";
    if (part.startsWith(":")) {
      if (!value) return null;
      found[part.slice(1)] = decodeURIComponent(value);
    } else if (part !== value) return null;
  }
  return found;
}

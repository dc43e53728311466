// Dark or light: the system's choice until somebody makes their own.
const KEY = "fw.theme";
const wantsLight = matchMedia("(prefers-color-scheme: light)");

function chosen(): "dark" | "light" | null {
  const found = document.documentElement.dataset.theme;
  return found === "dark" || found === "light" ? found : null;
}

class Theme {
  #choice = $state(chosen());
  #system = $state<"dark" | "light">(wantsLight.matches ? "light" : "dark");
  readonly current = $derived(this.#choice ?? this.#system);

  constructor() {
    wantsLight.addEventListener("change", (event) => (this.#system = event.matches ? "light" : "dark"));
  }

  toggle(): void {
    const next = this.current === "dark" ? "light" : "dark";
    this.#choice = next;
    document.documentElement.dataset.theme = next;
    localStorage.setItem(KEY, next);
  }
}

export const theme = new Theme();

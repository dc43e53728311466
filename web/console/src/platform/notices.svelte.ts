// Short words about what just happened, bottom right, gone by themselves.
export interface Notice {
  id: number;
  text: string;
  isBad: boolean;
}

class Notices {
  all = $state<Notice[]>([]);
  #next = 1;

  say(text: string, isBad = false): void {
    const id = this.#next++;
    this.all = [...this.all.slice(-2), { id, text, isBad }];
    setTimeout(() => this.dismiss(id), isBad ? 8000 : 4000);
  }

  dismiss(id: number): void {
    this.all = this.all.filter((notice) => notice.id !== id);
  }
}

export const notices = new Notices();

/** Copy to the clipboard, also where the page is no secure context. */
export async function copy(text: string): Promise<boolean> {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }
  const field = document.createElement("textarea");
  field.value = text;
  field.style.position = "fixed";
  field.style.opacity = "0";
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

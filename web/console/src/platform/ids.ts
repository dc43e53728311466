/** The plain id inside a global one ("Tenant:0189…", in Base64); an id that is plain already stays. */
export function plain(id: string): string {
  try {
    return /^[A-Z]\w+:/.test(atob(id)) ? atob(id).replace(/^.*?:/, "") : id;
  } catch {
    return id;
  }
}

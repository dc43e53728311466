// Everything that can go wrong between page and platform, in words for people.
export class Failure extends Error {
  constructor(
    message: string,
    readonly code: string,
    readonly field: string | null = null,
    /** What to quote to support. */
    readonly incident: string | null = null,
  ) {
    super(message);
  }
}

export function words(error: unknown): string {
  if (error instanceof Failure) return error.message;
  return "Something went wrong on this page. Reload it and try again.";
}

export const OFFLINE = new Failure(
  "The platform can not be reached. Check your connection; the page tries again by itself.",
  "OFFLINE",
);

// Figures, spans and instants as people read them.
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const exact = new Intl.NumberFormat("en");
const oneDigit = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** 12 400 → "12.4 k"; small numbers stay exact. */
export function count(value: number): string {
  if (value < 10_000) return exact.format(value);
  return compact.format(value).replace(/([A-Z])$/, (unit) => ` ${unit === "K" ? "k" : unit}`);
}

/** Kilobits per second as "3.1 Mbit/s". */
export function bitrate(kbps: number): string {
  return kbps >= 1000 ? `${oneDigit.format(kbps / 1000)} Mbit/s` : `${exact.format(Math.round(kbps))} kbit/s`;
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let rest = value;
  while (rest >= 1000 && at < units.length - 1) {
    rest /= 1000;
    at += 1;
  }
  return `${oneDigit.format(rest)} ${units[at]}`;
}

export function decimal(value: number): string {
  return oneDigit.format(value);
}

/** Seconds as "1 h 4 min", "3 min 12 s" or "8 s". */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const days = Math.floor(whole / 86_400);
  const hours = Math.floor((whole % 86_400) / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  if (days) return hours ? `${days} d ${hours} h` : `${days} d`;
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  if (minutes) return minutes < 10 && whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  return `${whole} s`;
}

/** An instant seen from `now`: "just now", "4 min ago", "in 3 d". */
export function ago(instant: string, now: number): string {
  const seconds = (now - Date.parse(instant)) / 1000;
  const distance = Math.abs(seconds);
  if (distance < 10) return "just now";
  const rough =
    distance < 60
      ? `${Math.round(distance)} s`
      : distance < 3600
        ? `${Math.round(distance / 60)} min`
        : distance < 86_400
          ? `${Math.round(distance / 3600)} h`
          : `${Math.round(distance / 86_400)} d`;
  return seconds >= 0 ? `${rough} ago` : `in ${rough}`;
}

const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export function exactly(instant: string): string {
  return full.format(new Date(instant));
}

const regions = new Intl.DisplayNames(["en"], { type: "region" });

export function country(code: string | null): string {
  if (!code || !/^[A-Z]{2}$/.test(code)) return "Unknown";
  return regions.of(code) ?? code;
}

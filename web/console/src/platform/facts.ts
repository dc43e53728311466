// What the front tells the page about this installation.
export interface Facts {
  rtmpUrl: string;
  publicUrl: string;
  hasMail: boolean;
  /** Whether players tell the stream's owner how viewing goes. */
  telemetry: boolean;
}

function read(): Facts {
  const here = { rtmpUrl: `rtmp://${location.hostname}:1935/live`, publicUrl: location.origin, hasMail: false, telemetry: false };
  const text = document.getElementById("platform")?.textContent;
  return text ? { ...here, ...(JSON.parse(text) as Partial<Facts>) } : here;
}

export const facts = read();

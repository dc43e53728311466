// What the platform answers, as far as the console asks.
export interface Me {
  role: string;
  scopes: string[];
  isOperator: boolean;
  user: { id: string; email: string; firstName: string; lastName: string; isVerified: boolean; createdAt: string } | null;
  tenant: { id: string; name: string; cluster: string | null; createdAt: string };
}

export interface Metrics {
  status: "OFFLINE" | "LIVE" | "RECORDING" | "ENDED";
  isLive: boolean;
  currentViewers: number;
  startedAt: string | null;
  updatedAt: string;
  primaryWidth: number | null;
  primaryHeight: number | null;
  primaryFps: number | null;
  primaryBitrate: number | null;
  issuesDescription: string | null;
}

export interface StreamRow {
  id: string;
  streamId: string;
  name: string;
  description: string | null;
  playbackId: string;
  createdAt: string;
  metrics: Metrics | null;
}

export interface StreamDetail extends StreamRow {
  updatedAt: string;
  metrics:
    | (Metrics & {
        nodeId: string | null;
        bufferState: string | null;
        qualityTier: string | null;
        primaryCodec: string | null;
        uploadedBytes: number;
        viewerSeconds: number;
      })
    | null;
}

export interface Series {
  stepSeconds: number;
  at: string[];
  bitrateKbps: number[];
  fps: number[];
  keyframeMs: number[];
  bufferMs: number[];
  jitterMs: number[];
  viewers: number[];
  healthScore: number[];
  issues: string[][];
}

export interface StreamEvent {
  id: string;
  type: string;
  status: string | null;
  timestamp: string;
  details: string | null;
  payload: { reason?: string; durationMs?: number; issues?: string[] } | null;
  bufferState: string | null;
  hasIssues: boolean | null;
  protocol: string | null;
  countryCode: string | null;
  city: string | null;
  nodeId: string | null;
}

export interface Refusal {
  id: string;
  streamId?: string | null;
  reason: string;
  message: string;
  protocol: string;
  keyFingerprint?: string | null;
  nodeId?: string | null;
  refusedAt: string;
}

export interface ViewerSession {
  id: string;
  sessionId: string;
  streamId?: string;
  connectedAt: string | null;
  disconnectedAt: string | null;
  connector: string | null;
  countryCode: string | null;
  city: string | null;
  durationSeconds: number | null;
  bytesDown?: number | null;
  bytesUp?: number | null;
}

/** A measurement of a stream, or a viewer coming or going. */
export interface LiveSample {
  action: string;
  timestamp: number;
  sessionId: string | null;
  protocol: string;
  connectionTime: number | null;
  bytesDownloaded: number | null;
  bytesUploaded: number | null;
  clientCountry: string | null;
  clientCity: string | null;
  viewers: number | null;
  bitrateKbps: number | null;
  fps: number | null;
  keyframeMs: number | null;
  bufferMs: number | null;
  jitterMs: number | null;
  healthScore: number | null;
  issues: string[] | null;
}

export interface StreamKeyRow {
  id: string;
  keyName: string | null;
  keyValue: string;
  isActive: boolean;
  lastUsedAt: string | null;
  createdAt: string;
}

export interface TokenRow {
  id: string;
  tokenName: string;
  tokenValue?: string | null;
  permissions: string[];
  status: string;
  lastUsedAt: string | null;
  expiresAt: string | null;
  createdAt: string | null;
}

export interface Overview {
  deliveredMinutes: number;
  uniqueViewers: number;
  peakConcurrentViewers: number;
  ingestHours: number;
  egressGb: number;
  totalViews: number;
}

export interface NodeRow {
  id: string;
  nodeId: string;
  clusterId: string;
  nodeName: string;
  nodeType: string;
  region: string | null;
  lastHeartbeat: string | null;
  effectiveMode: string;
  liveState: {
    cpuPercent: number;
    ramUsedBytes: number;
    ramTotalBytes: number;
    diskUsedBytes: number;
    diskTotalBytes: number;
    upSpeed: number;
    downSpeed: number;
    activeStreams: number;
    isHealthy: boolean;
    updatedAt: string;
  } | null;
  routingImpactPreview: { activeStreams: number; activeViewers: number };
}

export interface ClusterRow {
  id: string;
  clusterId: string;
  clusterName: string;
  shortDescription: string | null;
  ownerTenantId: string | null;
  healthStatus: string;
  isDefaultCluster: boolean;
  createdAt: string | null;
}

"""What is known last of streams: SQL over facts."""

from frameworks.data.periscope.store.tables import MERGED

METRICS = """
SELECT toString(stream_id) AS id, n.1 AS bitrate_kbps, n.2 AS fps_milli, n.3 AS width, n.4 AS height, n.5 AS codec,
    n.6 AS audio_codec, n.7 AS audio_channels, n.8 AS audio_rate, n.9 AS audio_kbps, n.10 AS quality_tier,
    n.11 AS keyframe_ms, n.12 AS buffer_ms, n.13 AS jitter_ms, n.14 AS health_score, n.15 AS issues,
    n.16 AS packets_sent, n.17 AS packets_lost, n.18 AS packets_retransmitted, n.19 AS bandwidth_in_bps,
    n.20 AS bandwidth_out_bps, at, peak AS peak_viewers
FROM (SELECT stream_id, toUnixTimestamp64Micro(max(occurred_at)) AS at, max(viewers) AS peak,
        argMax(tuple(bitrate_kbps, fps_milli, width, height, codec, audio_codec, audio_channels, audio_rate,
            audio_kbps, quality_tier, keyframe_ms, buffer_ms, jitter_ms, health_score, issues, packets_sent,
            packets_lost, packets_retransmitted, bandwidth_in_bps, bandwidth_out_bps), (occurred_at, event_id)) AS n
    FROM periscope.stream_health
    WHERE stream_id IN {streams:Array(UUID)} AND occurred_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
    GROUP BY stream_id)
"""

LIFECYCLE = """
SELECT toString(stream_id) AS id,
    argMaxIf(protocol, occurred_at, type = 'stream-ingest') AS protocol,
    argMaxIf(encoder, occurred_at, type = 'stream-ingest') AS encoder,
    argMaxIf(buffer_state, occurred_at, type = 'stream-buffer') AS buffer_state,
    argMaxIf(tracks, occurred_at, type IN ('track-list', 'stream-buffer') AND notEmpty(tracks)) AS tracks
FROM periscope.stream_events
WHERE stream_id IN {streams:Array(UUID)} AND occurred_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
GROUP BY stream_id
"""

VIEWING = f"""
SELECT toString(stream_id) AS id, sum(seconds) AS viewer_seconds, sum(up_bytes) AS up_bytes
FROM periscope.connection_events {MERGED}
WHERE stream_id IN {{streams:Array(UUID)}} AND occurred_at >= fromUnixTimestamp64Micro({{from:Int64}}, 'UTC')
    AND action = 'disconnect'
GROUP BY stream_id
"""

SERIES = """
SELECT intDiv(toUnixTimestamp64Micro(s.occurred_at), {step:Int64}) * {step:Int64} AS at,
    toUInt32(avg(s.bitrate_kbps)) AS bitrate_kbps, toUInt32(avg(s.fps_milli)) AS fps_milli,
    max(s.keyframe_ms) AS keyframe_ms, toUInt32(avg(s.buffer_ms)) AS buffer_ms, max(s.viewers) AS viewers,
    min(s.health_score) AS health_score, max(s.jitter_ms) AS jitter_ms,
    toUInt64(avg(s.bandwidth_out_bps)) AS bandwidth_out_bps,
    arrayStringConcat(arraySort(groupUniqArrayArray(s.issues)), ',') AS issues
FROM (SELECT * FROM periscope.stream_health
    WHERE stream_id = {stream:UUID} AND occurred_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
        AND occurred_at < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
    LIMIT 1 BY event_id) AS s
GROUP BY at ORDER BY at LIMIT 2001
"""

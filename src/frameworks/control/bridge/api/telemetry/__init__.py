"""What players report of themselves, in their own words or in CMCD: taken at the front's `/playback/telemetry`."""

"""Where an address is, as coarse as history may know it: country, city and the centre of an H3 cell."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import h3
import maxminddb

CELL_RESOLUTION = 5
"""H3 cells of about 250 km²: a city's district is not a household."""


@dataclass(frozen=True, slots=True)
class Place:
    """A coarse place; latitude and longitude are the cell's centre."""

    country: str
    city: str
    cell: int
    latitude: float
    longitude: float


class Geo:
    """Looks addresses up in an MMDB file; without one every address is nowhere."""

    def __init__(self, database: Path | None) -> None:
        self._reader = maxminddb.open_database(database) if database else None
        self._lookup = lru_cache(maxsize=65_536)(self._read)

    def place(self, address: str) -> Place | None:
        """The place of a public address; None for private, malformed and unknown ones."""
        return self._lookup(address)

    def _read(self, address: str) -> Place | None:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return None
        if self._reader is None or not parsed.is_global:
            return None
        found = self._reader.get(address)
        return _place(found) if isinstance(found, dict) else None


def _place(found: dict[str, Any]) -> Place:
    """Reads both layouts in use: flat keys (ip-location-db) and nested ones (GeoLite2)."""
    country, city, location = found.get("country", {}), found.get("city", {}), found.get("location", {})
    code = found.get("country_code") or (country.get("iso_code") if isinstance(country, dict) else "") or ""
    name = city.get("names", {}).get("en", "") if isinstance(city, dict) else str(city)
    latitude = found.get("latitude", location.get("latitude"))
    longitude = found.get("longitude", location.get("longitude"))
    if latitude is None or longitude is None:
        return Place(code, name, 0, 0.0, 0.0)
    cell = h3.latlng_to_cell(float(latitude), float(longitude), CELL_RESOLUTION)
    centre_latitude, centre_longitude = h3.cell_to_latlng(cell)
    return Place(code, name, h3.str_to_int(cell), centre_latitude, centre_longitude)

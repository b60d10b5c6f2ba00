#!/usr/bin/env python3
"""Uploads a file with tuspy, a client that is not ours: in chunks, each to the next of several nodes, some checked.

    PYTHONPATH=... tests/tus_client.py FILE TOKEN URL...

Prints the id of the file that became of it.
"""

import sys

from tusclient import client


def main() -> None:
    path, token, *nodes = sys.argv[1:]
    headers = {"Authorization": f"Bearer {token}"}
    nodes = [node.rstrip("/") for node in nodes]
    first = client.TusClient(f"{nodes[0]}/api/v1/uploads", headers=headers)
    uploader = first.uploader(
        path, chunk_size=3 << 20, metadata={"filename": "from tuspy.bin"}, upload_checksum=True
    )
    uploader.upload_chunk()
    item = uploader.url.rsplit("/", 1)[1]
    turn = 0
    while uploader.offset < uploader.get_file_size():
        turn += 1
        node = nodes[turn % len(nodes)]
        other = client.TusClient(f"{node}/api/v1/uploads", headers=headers)
        # A client that comes back asks how far the upload is.
        uploader = other.uploader(
            path, chunk_size=3 << 20, url=f"{node}/api/v1/uploads/{item}", upload_checksum=turn % 2 == 0
        )
        uploader.upload_chunk()
    print(uploader.request.response_headers["starling-file"])


if __name__ == "__main__":
    main()

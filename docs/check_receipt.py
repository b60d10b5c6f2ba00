#!/usr/bin/env python3
"""Checks a Starling receipt with nothing but the Python standard library:  check_receipt.py RECEIPT CHECKPOINT

Written from docs/ledger-format.md, sections 1 to 4 and 9. Exits with 1 and the reason if the receipt proves nothing.
"""

import hashlib
import struct
import sys

P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, ROOT = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def check(so, otherwise):
    if not so:
        sys.exit("refused: " + otherwise)


class Cursor:  # section 1: values
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        check(self.at <= len(self.data), "it is cut short")
        return self.data[self.at - count : self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def bytes(self):
        return self.take(self.number(4))

    def flag(self):
        value = self.number(1)
        check(value < 2, "a flag is neither 0 nor 1")
        return value

    def list(self, read):
        count = self.number(4)
        check(count <= len(self.data), "a count is too large")
        return [read() for _ in range(count)]

    def label(self, name):
        check(self.data.startswith(bytes([len(name)]) + name) and len(self.data) <= 8 << 20, f"not a {name.decode()}")
        self.take(1 + len(name))


# Ed25519 (RFC 8032, section 5.1.7), strict; points as (x, y, z, x * y / z)
def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, p):
    result = (0, 1, 1, 0)
    while n:
        result, p, n = add(result, p) if n & 1 else result, add(p, p), n >> 1
    return result


def same(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def point(data):  # none if it is not one, or of small order
    y, sign = int.from_bytes(data, "little") & (1 << 255) - 1, data[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * ROOT % P
    if y >= P or x * x % P != square or x == 0 and sign:
        return None
    x = x if x & 1 == sign else P - x
    found = (x, y, 1, x * y % P)
    return None if same(times(8, found), (0, 1, 1, 0)) else found


BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def signed(key, message, signature):
    a, r, s = point(key), point(signature[:32]), int.from_bytes(signature[32:], "little")
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    return a and r and s < ORDER and same(times(s, BASE), add(r, times(k, a)))


class Header:  # section 2: blocks
    def __init__(self, c):
        start = c.at
        check(c.number(1) == 1, "a block of an unknown version")
        self.chain, self.height, _ = c.take(16), c.number(8), c.take(32 * c.flag())
        self.membership, _, self.boot, self.time = c.take(32), c.take(32), c.number(8), c.number(8)
        self.commands, self.root, _ = c.number(4), c.take(32), c.take(40 * c.flag())
        self.hash = sha256(c.data[start : c.at])


class Opening:  # section 11: a command with its salt and its path (RFC 9162, section 2.1.3.2)
    def __init__(self, c):
        self.index, self.path, self.salt, self.command = c.number(4), c.list(lambda: c.take(32)), c.take(16), c.bytes()
        self.leaf = sha256(b"\0", self.salt, self.command)
        check(len(self.command) <= 256 << 10, "a command is too long")

    def check(self, header):
        node, last, root = self.index, header.commands - 1, self.leaf
        check(node <= last, f"height {header.height} has no such command")
        for beside in self.path:
            check(last, "the path is too long")
            left = node & 1 or node == last
            root = sha256(b"\1", beside, root) if left else sha256(b"\1", root, beside)
            while left and node and not node & 1:
                node, last = node >> 1, last >> 1
            node, last = node >> 1, last >> 1
        check(last == 0 and root == header.root, f"the command is not in the block at height {header.height}")

    def payload(self):  # section 3: commands
        c = Cursor(self.command)
        library, actor, key = c.bytes(), c.take(8), c.flag() and (c.bytes(), c.take(32))
        return c, actor, c.number(8), c.number(1)


class Voters:  # section 4: membership, certificates
    def __init__(self, ring, epoch):
        self.ring, self.epoch = ring, epoch
        self.encoded = b"".join(key + struct.pack(">I", len(name)) + name for key, name in ring)
        self.hash = sha256(b"starling/membership/v1", struct.pack(">I", len(ring)), self.encoded)
        distinct = all(len({voter[part] for voter in ring}) == len(ring) for part in (0, 1))
        check(1 <= len(ring) <= 15 and distinct, "not 1 to 15 distinct voters")

    def check(self, header, certificate):
        height, ballot, block, places, signatures = certificate
        bits = [place for place in range(16) if places >> place & 1]
        check(header.membership == self.hash, f"height {header.height} was decided by others: a change is missing, or was refused")
        check((height, block) == (header.height, header.hash), f"the certificate at height {header.height} is of another block")
        check(len(bits) == len(signatures) and bits[-1:] < [len(self.ring)], "a certificate does not fit the voters")
        check(len(bits) >= len(self.ring) - (len(self.ring) - 1) // 2, f"no quorum decided height {header.height}")
        statement = b"\x14starling/accepted/v1" + header.chain + self.hash + struct.pack(">Q", height) + ballot + block
        for place, signature in zip(bits, signatures):
            key, name = self.ring[place]
            check(signed(key, statement, signature), f"the signature of {name.decode()} does not verify")

    def after(self, header, opening):
        c, _, valid_until, tag = opening.payload()
        check((tag, c.number(1)) == (8, 2), f"the command at height {header.height} changes no voters")
        check(c.number(8) == self.epoch and valid_until >= header.time, f"the change at height {header.height} is of no effect")
        ring, kind = list(self.ring), c.number(1)
        place = next((at for at, voter in enumerate(ring) if kind and voter[0] == c.data[c.at : c.at + 32]), None)
        check(kind < 3 and (kind == 0 or place is not None) and (kind < 2 or len(ring) > 1), "a change does not fit the voters")
        if kind == 1:
            del ring[place]
            check(c.take(33)[32] < 2, "no such reason")
        else:
            c.take(32 * (kind == 2))
            ring[place if kind else len(ring) : place + 1 if kind else len(ring)] = [(c.take(32), utf8(c.bytes()))]
        check(c.at == len(c.data) and ring != self.ring, "a change does not fit the voters")
        return Voters(ring, header.height)


def utf8(text):
    check(text.decode("utf-8", "replace").encode() == text, "a name is not text")
    return text


def certificate(c):
    return c.number(8), c.take(48), c.take(32), c.number(2), c.list(lambda: c.take(64))


def main(receipt, checkpoint):
    t = Cursor(checkpoint)
    t.label(b"starling/checkpoint/v1")
    chain, trusted, trusted_hash, epoch = t.take(16), t.number(8), t.take(32), t.number(8)
    voters = Voters(t.list(lambda: (t.take(32), utf8(t.bytes()))), epoch)
    c = Cursor(receipt)
    c.label(b"starling/receipt/v1")
    anchor, anchor_hash = c.number(8), c.take(32)
    links = c.list(lambda: (Header(c), certificate(c), Opening(c)))
    block, proof, opening = Header(c), c.flag() and certificate(c), Opening(c)
    check(c.at == len(receipt) and t.at == len(checkpoint), "bytes are left over")
    check(anchor <= trusted <= block.height, "what is trusted lies outside of what the receipt covers")
    check(anchor < trusted or anchor_hash == trusted_hash, "it begins at another block than the one trusted")
    heights = [anchor - 1] + [link[0].height for link in links] + [block.height]
    check(all(low < high for low, high in zip(heights, heights[1:])), "changes of voters are out of order")
    for header in [link[0] for link in links if link[0].height >= trusted] + [block]:
        check(header.chain == chain, "it is of another chain")
        check(header.height != trusted or header.hash == trusted_hash, "it has another block than the one trusted")
    for header, decided, change in links:
        if header.height >= trusted:
            voters.check(header, decided)
            change.check(header)
            voters = voters.after(header, change)  # counts because those after it signed the next header shown
    opening.check(block)
    if proof or block.height and (block.height != trusted or block.boot):  # a chain's first block is trusted, not decided
        check(proof, "the block has no certificate")
        voters.check(block, proof)
    print(f"proven: height {block.height}, command {opening.index}, leaf {opening.leaf.hex()}")
    print(f"chain {chain.hex()}, block {block.hash.hex()}, {block.time / 1e6:.6f} s after 1970, {len(opening.command)} bytes")


if __name__ == "__main__":
    main(*(open(path, "rb").read() for path in sys.argv[1:3]))

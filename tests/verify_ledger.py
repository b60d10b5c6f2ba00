#!/usr/bin/env python3
"""Verifies a Starling ledger folder with nothing but the Python standard library.

Written from docs/ledger-format.md alone, as a second opinion: it shares no code with Starling.

    verify_ledger.py FOLDER [--records] [--certificates all|head|N] [--chain HEX]

Recomputes every checksum, block hash, parent link and Merkle root and checks certificates (all of them, that of the
head, or those of N heights spread over the chain). Prints `height=… hash=… blocks=… commands=… ok`, or names the
fault on standard error and exits with 1. Segments are checked like the log. With --records it also prints every record: height, index and body in
base64. Do not run it on the folder of a running node: its last record may be half written.
"""

import argparse
import base64
import functools
import hashlib
import pathlib
import re
import struct
import sys
import zlib

SECTOR = 4096
ATOM = 512
FILE_MIN = SECTOR + 64
HEAD = struct.Struct(">4sB3sQQIIIIII")
GENESIS, START, VOTE, DECIDED = range(4)
FILLER = 0xFF


class Fault(Exception):
    """Something that is not as the format says."""


def note(text):
    print("note: " + text, file=sys.stderr)


# --- 1. Values ------------------------------------------------------------------------------------------------------


class Cursor:
    """Reads values from a byte string, strictly."""

    def __init__(self, data):
        self.data, self.at = memoryview(data), 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Fault("a value is cut short")
        self.at += count
        return bytes(self.data[self.at - count : self.at])

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def bytes(self):
        return self.take(self.number(4))

    def optional(self, read):
        flag = self.number(1)
        if flag > 1:
            raise Fault(f"a flag is {flag}")
        return read() if flag else None

    def finish(self):
        if self.at != len(self.data):
            raise Fault("bytes are left over behind a value")


def sha256(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def parse(data, read):
    cursor = Cursor(data)
    value = read(cursor)
    cursor.finish()
    return value


# --- 2. Blocks ------------------------------------------------------------------------------------------------------


class Block:
    """A block with its hash; its root and count are checked while it is read."""

    def __init__(self, data):
        cursor = Cursor(data)
        if cursor.number(1) != 1:
            raise Fault("the block is of an unknown version")
        self.chain = cursor.take(16)
        self.height = cursor.number(8)
        self.parent = cursor.optional(lambda: cursor.take(32))
        self.membership = cursor.take(32)
        self.proposer = cursor.take(40)[:32]
        self.time = cursor.number(8)
        count, root = cursor.number(4), cursor.take(32)
        cursor.optional(lambda: cursor.take(40))
        self.hash = sha256(cursor.data[: cursor.at])
        self.commands, leaves = [], []
        for _ in range(cursor.number(4)):
            tag = cursor.number(1)
            if tag > 3:
                raise Fault(f"an entry has tag {tag}")
            command = None
            if tag == 0:
                leaf = cursor.take(32)
            elif tag == 2:
                leaf = cursor.take(32)
                cursor.optional(lambda: cursor.take(32))
            elif tag == 3:
                leaf = cursor.take(32)
                if cursor.number(1) == 2:
                    cursor.take(32)
            else:
                salt, command = cursor.take(16), cursor.bytes()
                leaf = sha256(b"\0", salt, command)
            self.commands.append(command)
            leaves.append(leaf)
        cursor.finish()
        if count != len(leaves):
            raise Fault(f"the header counts {count} commands, there are {len(leaves)}")
        if root != merkle_root(leaves):
            raise Fault("the Merkle root is not that of the commands")


def merkle_root(leaves):
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\1", merkle_root(leaves[:split]), merkle_root(leaves[split:]))


# --- 3. Commands ----------------------------------------------------------------------------------------------------


def payload(command):
    """A cursor at the payload's tag."""
    cursor = Cursor(command)
    cursor.bytes()  # library
    cursor.take(8)  # actor
    cursor.optional(lambda: (cursor.bytes(), cursor.take(32)))  # key and request
    cursor.number(8)  # valid until
    return cursor


def record_body(command):
    """The body of a record; None if the command is something else."""
    try:
        cursor = payload(command)
        if cursor.number(1) != 1:
            return None
        body = cursor.bytes()
        cursor.finish()
        return body
    except Fault:
        return None


# --- 4. Membership, statements, certificates ------------------------------------------------------------------------


def member(cursor):
    return cursor.take(32), cursor.bytes()


class Membership:
    def __init__(self, voters, epoch):
        """`voters` are pairs of key and name, in ring order; `epoch` is the height that made them voters."""
        self.voters, self.epoch = voters, epoch
        distinct = len({v[0] for v in voters}) == len({v[1] for v in voters}) == len(voters)
        if not 1 <= len(voters) <= 15 or not distinct:
            raise Fault("voters are 1 to 15 and distinct")
        encoded = b"".join(key + struct.pack(">I", len(name)) + name for key, name in voters)
        self.hash = sha256(b"starling/membership/v1", struct.pack(">I", len(voters)), encoded)
        self.quorum = len(voters) - (len(voters) - 1) // 2

    @staticmethod
    def founded(first):
        """The voters of a chain's first block, and the block of the chain before that it goes on from, if it does."""
        if not first.commands or first.commands[0] is None:
            raise Fault("the first block does not say who votes")
        cursor = payload(first.commands[0])
        tag = cursor.number(1)
        if tag != (0 if first.height == 0 else 15):
            raise Fault("the first command does not found a chain")
        membership = Membership([member(cursor) for _ in range(cursor.number(4))], 0)
        if membership.hash != first.membership:
            raise Fault("the first block's membership is not that of its voters")
        if tag == 0:
            if first.parent is not None:
                raise Fault("the first block is not a genesis block")
            return membership, None
        chain, height, digest = cursor.take(16), cursor.number(8), cursor.take(32)
        if (height + 1, digest) != (first.height, first.parent) or chain == first.chain:
            raise Fault("the first block does not stand above the one that it names")
        return membership, (chain, height, digest)

    def after(self, block, named):
        """The voters above a block, if the next header names them: those of before, or those that a command of the block
        asks for. Whether a command had an effect depends on more than is followed here, and the header says it."""
        if named == self.hash:
            return self
        asked = (self.changed(command, block.height) for command in block.commands if command)
        return next((voters for voters in asked if voters and voters.hash == named), self)

    def changed(self, command, height):
        try:
            cursor = payload(command)
            if (cursor.number(1), cursor.number(1)) != (8, 2) or cursor.number(8) != self.epoch:
                return None
            tag, voters = cursor.number(1), list(self.voters)
            if tag == 0:
                voters.append(member(cursor))
            elif tag == 1:
                leaving = cursor.take(32)
                voters = [voter for voter in voters if voter[0] != leaving]
            elif tag == 2:
                leaving, joining = cursor.take(32), member(cursor)
                voters = [joining if voter[0] == leaving else voter for voter in voters]
            return Membership(voters, height)
        except Fault:
            return None


class Certificate:
    def __init__(self, cursor):
        self.height = cursor.number(8)
        self.ballot = cursor.take(48)
        self.hash = cursor.take(32)
        self.voters = cursor.number(2)
        self.signatures = [cursor.take(64) for _ in range(cursor.number(4))]

    def check(self, chain, membership):
        places = [i for i in range(16) if self.voters >> i & 1]
        if len(places) != len(self.signatures) or places and places[-1] >= len(membership.voters):
            raise Fault("the certificate's bitmap fits neither signatures nor membership")
        if len(places) < membership.quorum:
            raise Fault(f"the certificate has {len(places)} signatures, a quorum is {membership.quorum}")
        label = b"starling/accepted/v1"
        height = struct.pack(">Q", self.height)
        statement = bytes([len(label)]) + label + chain + membership.hash + height + self.ballot + self.hash
        for place, signature in zip(places, self.signatures):
            key, name = membership.voters[place]
            if not ed25519_verify(key, statement, signature):
                raise Fault(f"the signature of {name.decode()} does not verify")


# --- Ed25519 (RFC 8032, section 5.1), points as extended coordinates (X, Y, Z, T) ------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1, 1, 0)


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def double(p):
    a, b = p[0] * p[0] % P, p[1] * p[1] % P
    h = a + b
    e = h - (p[0] + p[1]) ** 2
    g = a - b
    f = 2 * p[2] * p[2] + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * SQRT_M1 % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def is_neutral(p):
    return p[0] % P == 0 and (p[1] - p[2]) % P == 0


def of_small_order(p):
    return is_neutral(double(double(double(p))))


def negate(p):
    return -p[0] % P, p[1], p[2], -p[3] % P


def windows(point):
    """0 to 15 times the point."""
    table = [NEUTRAL, point]
    for _ in range(14):
        table.append(add(table[-1], point))
    return table


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
BASE_WINDOWS = windows(BASE)
KEYS = {}


def known_key(key):
    """The windows of -A, made once for each key; None if the key is not one."""
    if key not in KEYS:
        point = decompress(key)
        usable = point is not None and not of_small_order(point)
        KEYS[key] = windows(negate(point)) if usable else None
    return KEYS[key]


def ed25519_verify(key, message, signature):
    table, r = known_key(key), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if table is None or r is None or of_small_order(r) or s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    # [s]B - [k]A, four bits of both at a time, must be R.
    sum_ = NEUTRAL
    for shift in range(252, -4, -4):
        sum_ = double(double(double(double(sum_))))
        if s >> shift & 15:
            sum_ = add(sum_, BASE_WINDOWS[s >> shift & 15])
        if k >> shift & 15:
            sum_ = add(sum_, table[k >> shift & 15])
    return is_neutral(add(sum_, negate(r)))


# --- 5. Log files ---------------------------------------------------------------------------------------------------


class Header:
    """A file's header, and what was known when the file was begun if it says so."""

    def __init__(self, base, extended=None):
        self.chain, self.nonce = base[16:32], base[32:48]
        self.origin, self.length, self.intact = None, 64, True
        if extended is not None:
            self.length = 128
            self.intact = len(extended) == 128 and crc(extended[:124]) == int.from_bytes(extended[124:], "big")
            self.number, self.link = struct.unpack(">QI", base[48:60])
            if self.intact:
                self.boot, self.floor, self.tip, self.tip_hash = struct.unpack(">QQQ32s", extended[64:120])
                self.origin = self

    def __eq__(self, other):
        return other is not None and vars(self) | {"origin": 0} == vars(other) | {"origin": 0}


class File:
    def __init__(self, path):
        self.path, self.name, self.number = path, path.name, int(path.stem)
        self.nonce, self.first_record = None, FILE_MIN

    @functools.cached_property
    def data(self):
        """The whole file, at most 66 MiB; read when it is needed."""
        return self.path.read_bytes()

    def release(self):
        self.__dict__.pop("data", None)

    def open(self, chain):
        """Reads the header from either copy. Returns the chain id; None if both are bad."""
        copies = [self.header(0), self.header(SECTOR)]
        good = next((copy for copy in copies if copy), None)
        if good is None:
            return None
        if copies[0] != copies[1] or any(b != FILLER for b in self.data[good.length : SECTOR]):
            note(f"{self.name}: the beginning is damaged, a second copy makes it good")
        if chain is not None and good.chain != chain:
            raise Fault(f"{self.name} belongs to chain {good.chain.hex()}, not {chain.hex()}")
        self.nonce, self.first_record = good.nonce, SECTOR + good.length
        return good.chain

    def header(self, at):
        data = self.data[at : at + 64]
        if len(data) < 64 or data[:8] != b"starling" or crc(data[:60]) != int.from_bytes(data[60:], "big"):
            return None
        version, number = struct.unpack(">II", data[8:16])
        if version not in (1, 2):
            raise Fault(f"{self.name} is of format version {version}")
        header = Header(data, self.data[at : at + 128]) if version == 2 else Header(data)
        return header if number == self.number and header.intact else None

    def head(self, at, nonce=None):
        """The head at an offset as a Record, its body not yet read; None if there is no intact one."""
        fixed = self.data[at : at + HEAD.size]
        if len(fixed) < HEAD.size or fixed[:4] != b"STRL":
            return None
        record = Record(self, *HEAD.unpack(fixed))
        if record.meta_length > 2048 or record.body_length > 2 << 20 or record.kind > DECIDED or any(record.zero):
            return None
        record.meta = self.data[at + HEAD.size : at + HEAD.size + record.meta_length]
        record.copy_end = at + HEAD.size + record.meta_length
        seed = (nonce or self.nonce or bytes(16)) + struct.pack(">I", self.number)
        intact = crc(seed + fixed[:44] + record.meta) == record.crc and len(record.meta) == record.meta_length
        return record if intact else None

    def record(self, at):
        """The record that begins at an offset. Raises Damaged if there is no intact one."""
        first, place = self.head(at), second_copy(at)
        if first and first.offset == at and first.kind in (GENESIS, DECIDED):
            return first.with_body(first.copy_end)
        first = first if first and first.offset == at else None
        second = self.head(place)
        if second and (second.offset != at or second.kind not in (START, VOTE)):
            second = None
        head = second or first
        if head is None:
            raise Damaged("the record's head is damaged", len(self.data) < at + HEAD.size)
        whole = first and second and all(b == FILLER for b in self.data[first.copy_end : place])
        if not whole:
            note(f"{self.name} at byte {at}: damaged, a second copy makes it good")
        return head.with_body(place + HEAD.size + head.meta_length)

    def nonces(self, before):
        """What the nonce may be: the header's, else that of the file before or of a start record in this one."""
        if self.nonce is None and self.header(0) is None and self.header(SECTOR) is None:
            found = [before]
            for at in self.magics(0):
                nonce = self.data[at + HEAD.size + 8 : at + HEAD.size + 24]
                if self.data[at + 4 : at + 5] == b"\x01" and len(nonce) == 16 and self.head(at, nonce):
                    found.append(nonce)
            return found
        return [self.nonce or (self.header(0) or self.header(SECTOR)).nonce]

    def magics(self, start):
        return [match.start() + start for match in re.finditer(b"STRL", self.data[start:])]


class Damaged(Exception):
    def __init__(self, what, short=False, intact=False):
        super().__init__(what)
        self.short, self.intact = short, intact


def crc(data):
    return zlib.crc32(data)


def second_copy(at):
    return -(-(at + 256) // SECTOR) * SECTOR


# --- 6. Records -----------------------------------------------------------------------------------------------------


class Record:
    def __init__(self, file, magic, kind, zero, number, flushed, offset, link, meta_length, body_length, body_crc, own):
        self.file, self.kind, self.zero = file, kind, zero
        self.number, self.flushed, self.offset, self.link = number, flushed, offset, link
        self.meta_length, self.body_length, self.body_crc, self.crc = meta_length, body_length, body_crc, own
        self.meta, self.copy_end, self.body, self.end = b"", 0, b"", 0

    def with_body(self, at):
        self.end = at + self.body_length
        self.body = self.file.data[at : self.end]
        if len(self.body) < self.body_length:
            raise Damaged("the record's block is cut short", short=True)
        if crc(self.body) != self.body_crc:
            raise Damaged("the record's block is damaged")
        return self


# --- 7. Reading a log -----------------------------------------------------------------------------------------------


class Log:
    """Walks through the records of a log."""

    def __init__(self, files, base=None):
        self.files, self.index, self.at = files, 0, 0
        self.base = base  # how the second file begins, if the log does so there
        self.number, self.link = 0, 0  # of the next record; no link: any will do
        self.chain, self.nonce = None, bytes(16)

    def records(self):
        """All records in order. Raises Fault where the log is damaged; ends where it was never finished."""
        while self.index < len(self.files):
            try:
                yield from self.file_records(self.files[self.index])
            except Damaged as damage:
                if not self.go_on(damage):
                    return
            else:
                self.files[self.index].release()
                self.index, self.at = self.index + 1, 0
                if self.index == 1 and self.base:
                    self.number, self.link = self.base.number, self.base.link

    def file_records(self, file):
        if not file.data:
            return
        if self.at == 0:
            found = file.open(self.chain)
            if found is None:
                raise Damaged("the file's header is damaged", len(file.data) < FILE_MIN)
            self.chain, self.nonce, self.at = found, file.nonce, file.first_record
        while any(file.data[self.at : self.at + ATOM]) or any(file.data[self.at :]):
            record = file.record(self.at)
            if record.number > self.number and self.at == file.first_record:
                raise Damaged("records before it are missing", short=True)
            if record.number != self.number or self.link not in (None, record.link):
                raise Damaged("the record is out of place", intact=True)
            self.number, self.link, self.at = record.number + 1, record.crc, record.end
            yield record

    def go_on(self, damage):
        """Tells an unfinished end from damage, by the rules of the format, and goes on with a later start."""
        where = f"{self.files[self.index].name} at byte {self.at}: {damage}"
        if damage.intact or self.number == 0:
            raise Fault(where)
        flushed, first, start = False, None, None
        for index, head in self.heads_behind():
            if head.number == self.number:
                if index > self.index and head.link == self.link:
                    note(f"{where}: bytes behind the last record of the file")
                    self.index, self.at = index, 0
                    return True
                continue
            flushed |= head.flushed > self.number
            first = first or (index, head)
            if head.kind == START:
                start = (index, head)
                break
        if flushed:
            raise Fault(where)
        if start:
            note(f"{where}: never flushed, superseded by a later start")
            self.index, head = start
            head.file.nonce = head.meta[8:24]
            self.at, self.number, self.link, self.nonce = head.offset, head.number, None, head.file.nonce
            return True
        data = self.files[self.index].data
        if first and not damage.short:
            end = max(first[1].offset, self.at) if first[0] == self.index else len(data)
            if not hole(data, self.at, end):
                raise Fault(where)
        note(f"{where}: an unfinished end, ignored")
        return False

    def heads_behind(self):
        for index, file in enumerate(self.files[self.index :], self.index):
            for nonce in file.nonces(self.nonce):
                for place in file.magics(self.at if index == self.index else 0):
                    head = file.head(place, nonce)
                    if head and head.number >= self.number:
                        yield index, head


def hole(data, start, end):
    while start < end:
        stop = min((start // ATOM + 1) * ATOM, end)
        if not any(data[start:stop]):
            return True
        start = stop
    return start >= len(data)


def decided(files, base, named):
    """All decided blocks in the log, in order, each with its certificate. Heights up to `named` may be in segments."""
    bodies, tip, floor, started = {}, -1, -1, False
    for record in Log(files, base).records():
        block = Block(record.body) if record.body else None
        if block:
            bodies[block.hash] = block
        if record.kind == GENESIS:
            height, digest = struct.unpack(">Q32s", record.meta)
            certificate = None
        elif record.kind == DECIDED:
            certificate = parse(record.meta, Certificate)
            height, digest = certificate.height, certificate.hash
        else:
            if record.kind == START:
                said, started = int.from_bytes(record.meta[24:32], "big"), True
                if said <= named:
                    tip = said  # the node found the blocks below in segments, or did not find them yet
                floor = max(floor, said)
            continue
        if floor > tip and tip + 1 < height <= floor + 1:
            floor = max(floor, height)  # above a gap: comes again behind the blocks that are missing
            continue
        if digest in bodies:
            if bodies[digest].height != height:
                raise Fault(f"height {height}: the block says height {bodies[digest].height}")
            yield bodies[digest], certificate
        elif height > named:
            raise Fault(f"height {height}: the block is nowhere in the log")
        tip, floor = height, max(floor, height)
        bodies = {digest: body for digest, body in bodies.items() if body.height > tip}
        if record.kind == GENESIS and base:
            tip, floor = base.tip, base.floor
    if base and not started and floor <= base.floor:
        raise Fault(f"{files[1].name}: the files before it are missing, and a vote may be lost with them")
    if floor > max(tip, named):
        note(f"the blocks {tip + 1} to {floor} have to be fetched from other nodes")


# --- 9. Segments ----------------------------------------------------------------------------------------------------


SEGMENT_NAME = re.compile(r"(\d{12,20})-(\d{12,20})-([0-9a-f]{64})\.seg")


class Segment:
    """A segment whose header, summary and trailer are as its name says. Raises Fault if it is not whole."""

    def __init__(self, path, chain):
        self.path = path
        self.first, self.to, self.head = named_heights(path.name)
        data = path.read_bytes()
        if len(data) < 96 or data[:8] != b"starsegm" or crc(data[:60]) != int.from_bytes(data[60:64], "big"):
            raise Fault("its header is damaged")
        version, _, found, first, to = struct.unpack(">II16sQQ", data[8:48])
        if version != 1:
            raise Fault(f"it is of format version {version}")
        index, length, summary_crc, _, magic, own = struct.unpack(">QIII8sI", data[-32:])
        if magic != b"starfoot" or crc(data[:64] + data[-32:-4]) != own or any(data[12:16] + data[48:60]):
            raise Fault("its trailer is damaged")
        if found != chain:
            raise Fault(f"it belongs to chain {found.hex()}")
        summary = data[-32 - length : -32]
        if crc(summary) != summary_crc or index + 64 * (to - first + 1) + length + 32 != len(data):
            raise Fault("its summary is damaged")
        self.index = index
        parse(summary, self.read_summary)
        if (first, to, self.summary_head) != (self.first, self.to, self.head):
            raise Fault("it is not the segment of its name")

    def read_summary(self, cursor):
        self.parent, self.summary_head = cursor.take(32), cursor.take(32)
        self.first_time, self.last_time = cursor.number(8), cursor.number(8)
        self.changes = [cursor.number(8) for _ in range(cursor.number(4))]
        self.voters = membership_hash(cursor)
        roster = membership_hash(cursor)
        if self.to not in self.changes and roster != self.voters:
            raise Fault("its summary contradicts itself")
        read_roster(cursor)
        start = cursor.at
        Certificate(cursor)
        self.certificate = bytes(cursor.data[start : cursor.at])

    def entry(self, data, height):
        """Hash, time, place and checksums of a height's block and certificate."""
        at = self.index + 64 * (height - self.first)
        entry = data[at : at + 64]
        if crc(struct.pack(">Q", height) + entry[:60]) != int.from_bytes(entry[60:], "big"):
            raise Fault(f"height {height}: its entry in the index is damaged")
        return struct.unpack(">32sQIIIII", entry[:60])

    def blocks(self):
        """All its blocks, each with its certificate."""
        data, at = self.path.read_bytes(), 64
        for height in range(self.first, self.to + 1):
            digest, time, offset, length, own, certificate_length, certificate_crc = self.entry(data, height)
            body = data[offset : offset + length]
            proof = data[offset + length : offset + length + certificate_length]
            if offset != at or crc(body) != own or crc(proof) != certificate_crc:
                raise Fault(f"height {height}: the block is damaged")
            at += length + certificate_length
            block, certificate = Block(body), parse(proof, Certificate)
            if (block.hash, block.height, block.time) != (digest, height, time):
                raise Fault(f"height {height}: it is another block")
            if height == self.first and (block.parent, block.time) != (self.parent, self.first_time):
                raise Fault("its summary does not fit its first block")
            yield block, certificate
        last = (digest, time, block.membership, proof)
        if last != (self.head, self.last_time, self.voters, self.certificate) or at != self.index:
            raise Fault("its summary does not fit its last block")


def named_heights(name):
    match = SEGMENT_NAME.fullmatch(name)
    first, to = int(match[1]), int(match[2])
    return first, to, bytes.fromhex(match[3])


def is_segment(name):
    if not SEGMENT_NAME.fullmatch(name):
        return False
    first, to, head = named_heights(name)
    return 1 <= first <= to < 1 << 64 and name == f"{first:012}-{to:012}-{head.hex()}.seg"


def membership_hash(cursor):
    start = cursor.at
    for _ in range(cursor.number(4)):
        read_member(cursor)
    return sha256(b"starling/membership/v1", cursor.data[start : cursor.at])


def read_member(cursor):
    cursor.take(32)
    cursor.bytes()


def read_roster(cursor):
    """What follows the voters in a roster: read, and not used here."""
    cursor.number(8)  # epoch
    for _ in range(cursor.number(4)):  # learners
        read_member(cursor)
        cursor.number(1)
    for _ in range(cursor.number(4)):  # addresses
        cursor.take(32), cursor.bytes(), cursor.bytes()
    for _ in range(cursor.number(4)):  # former
        read_member(cursor)
        cursor.take(9)
    for _ in range(cursor.number(4)):  # invites
        cursor.take(8 + 32 + 8 + 2)
    for _ in range(cursor.number(4)):  # hearings
        cursor.take(32 + 32 + 8 + 1)


def segment_paths(folder):
    """By their lowest height, of several the longest first."""
    inside = folder / "segments"
    paths = [path for path in inside.iterdir() if is_segment(path.name)] if inside.is_dir() else []
    return sorted(paths, key=lambda path: (named_heights(path.name)[0], -named_heights(path.name)[1]))


# --- 10. A log whose beginning is gone ------------------------------------------------------------------------------


def beginning(files, named):
    """The files to read, and how the second begins if the log does so there."""
    gaps = [at for at in range(1, len(files)) if files[at].number > files[at - 1].number + 1]
    for at in range(gaps[-1] if gaps else len(files), len(files)):
        headers = [files[at].header(0), files[at].header(SECTOR)]
        origin = next((header.origin for header in headers if header and header.origin), None)
        if origin:
            return ([files[0], *files[at:]], origin) if named >= origin.tip else (files, None)
    return files, None


def chain_of(files, paths):
    """All blocks from genesis, from segments where there are any, else from the log."""
    named = max((named_heights(path.name)[1] for path in paths), default=0)
    log = decided(*beginning(files, named), named)
    genesis = next(log, None)
    if genesis is None:
        return
    yield genesis
    following, hashes, waiting = genesis[0].height + 1, {}, None

    def logged(end):
        """The next blocks of the log below a height; those that are sealed must be the same."""
        nonlocal following, waiting
        while True:
            found = waiting or next(log, None)
            waiting = None
            if found is None:
                return
            height = found[0].height
            if height < following:
                if hashes.get(height, found[0].hash) != found[0].hash:
                    raise Fault(f"height {height}: the log and a segment have different blocks")
                continue
            if height >= end:
                waiting = found
                return
            if height > following:
                raise Fault(f"height {following}: the block is missing")
            following += 1
            yield found

    for path in paths:
        with_name = f"segments/{path.name}: "
        try:
            segment = Segment(path, genesis[0].chain)
        except Fault as fault:
            raise Fault(f"{with_name}{fault}") from None
        yield from logged(segment.first)
        if segment.first > following:
            raise Fault(f"the blocks {following} to {segment.first - 1} are missing")
        try:
            for block, certificate in segment.blocks():
                if block.height >= following:
                    hashes[block.height] = block.hash
                    following += 1
                    yield block, certificate
                elif hashes.get(block.height, block.hash) != block.hash:
                    raise Fault(f"height {block.height}: it was another block so far")
        except Fault as fault:
            raise Fault(f"{with_name}{fault}") from None
    yield from logged(1 << 64)


def chosen(certificates, height, head):
    """Whether the certificate of a height is to be checked."""
    if certificates == "all" or height == head:
        return True
    return certificates != "head" and height % max(1, head // int(certificates)) == 0


def check_link(block, below, membership):
    if (block.chain, block.height, block.parent) != (below.chain, below.height + 1, below.hash):
        raise Fault("the block does not extend the one below")
    if block.membership != membership.hash:
        raise Fault("the block is of another membership")
    if block.proposer not in [key for key, _ in membership.voters]:
        raise Fault("the proposer is not a voter")
    if block.time <= below.time:
        raise Fault("the block is not later than the one below")


def verify(folder, options, chain=None):
    """The last block of a ledger, and how many commands it holds with all that it goes on from."""
    paths = sorted(path for path in folder.iterdir() if re.fullmatch(r"\d{8}\.log", path.name))
    if not paths or int(paths[0].stem) != 0:
        raise Fault(f"{folder} holds no ledger")
    files = [File(path) for path in paths]
    below, membership, commands, certificates = None, None, 0, []
    for block, certificate in chain_of(files, segment_paths(folder)):
        try:
            if below is None:
                membership, before = Membership.founded(block)
                if chain and block.chain.hex() != chain:
                    raise Fault(f"the chain is {block.chain.hex()}")
                if before:
                    last, commands = verify(folder / "predecessor", options)
                    if (last.chain, last.height, last.hash) != before:
                        raise Fault("the chain before does not end with the block that this one goes on from")
            else:
                membership = membership.after(below, block.membership)
                check_link(block, below, membership)
                certificates.append((certificate, membership))
        except Fault as fault:
            raise Fault(f"height {block.height}: {fault}") from None
        if options.records:
            for index, command in enumerate(block.commands):
                body = None if command is None else record_body(command)
                if body is not None:
                    print(block.height, index, base64.b64encode(body).decode())
        below, commands = block, commands + len(block.commands)
    if below is None:
        raise Fault("00000000.log holds no genesis block")
    for certificate, membership in certificates:
        if chosen(options.certificates, certificate.height, below.height):
            try:
                certificate.check(below.chain, membership)
            except Fault as fault:
                raise Fault(f"height {certificate.height}: {fault}") from None
    return below, commands


def selection(text):
    if text in ("all", "head") or text.isdigit() and int(text) > 0:
        return text
    raise argparse.ArgumentTypeError("all, head or a number")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--records", action="store_true", help="print the records: height, index, base64")
    parser.add_argument("--certificates", type=selection, default="all", help="all, head, or how many")
    parser.add_argument("--chain", help="the chain id expected, in hexadecimal")
    options = parser.parse_args()
    try:
        last, commands = verify(options.folder, options, options.chain)
    except (Fault, OSError) as fault:
        print(f"fault: {fault}", file=sys.stderr)
        sys.exit(1)
    print(f"height={last.height} hash={last.hash.hex()} blocks={last.height + 1} commands={commands} ok")


if __name__ == "__main__":
    main()

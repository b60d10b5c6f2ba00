//! Bounds that every node shares. They are part of a block's validity, so changing one is a change of format.

use std::time::Duration;

/// A block's commands take at most this many bytes in the block's encoding.
pub const BLOCK_BYTES_MAX: usize = 1 << 20;
/// A block holds at most this many commands.
pub const BLOCK_COMMANDS_MAX: usize = 4096;
/// A command's bytes, salt not counted.
pub const COMMAND_BYTES_MAX: usize = 256 << 10;
/// Commands that one purge names: they fit a command with room to spare.
pub const PURGE_COMMANDS_MAX: usize = 4096;
/// A raw record's body.
pub const RECORD_BYTES_MAX: usize = 64 << 10;
/// An idempotency key.
pub const KEY_BYTES_MAX: usize = 128;
/// Voters in a membership: the width of a certificate's bitmap, less one bit to spare.
pub const VOTERS_MAX: usize = 15;
/// Learners of a cluster.
pub const LEARNERS_MAX: usize = 240;
/// Invites that have not expired, used ones among them.
pub const INVITES_MAX: usize = 256;
/// How long an invite may be good, in block time.
pub const INVITE_LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// A node's name.
pub const NAME_BYTES_MAX: usize = 63;
/// One address of a node.
pub const ADDRESS_BYTES_MAX: usize = 255;
/// The hash of a password, with how it was made.
pub const PASSWORD_HASH_BYTES_MAX: usize = 512;
/// Tokens whose use one command tells.
pub const TOKEN_USES_MAX: usize = 1000;
/// What a client says of an upload when it begins it.
pub const UPLOAD_DESCRIPTION_BYTES_MAX: usize = 8 << 10;
/// Uploads of one token that are not over.
pub const UPLOADS_MAX: usize = 1000;
/// An upload of which no bytes come for so long is given up, in block time.
pub const UPLOAD_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long it is remembered what became of an upload, in block time. Longer than a node keeps bytes that nobody names.
pub const UPLOAD_MEMORY: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long a request's key is remembered, in block time.
pub const KEYED_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// How long a command without a key may still be decided, in block time. Longer than any request may wait.
pub const UNKEYED_WINDOW: Duration = Duration::from_secs(120);

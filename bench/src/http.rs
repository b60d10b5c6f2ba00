//! The leanest HTTP/1.1 client that does the job: one connection, one request at a time, prebuilt bytes, no TLS.
//!
//! It exists so that the load comes from the servers and not from the client beside them on the same machine. It
//! understands answers with `Content-Length` only, which is what the node sends for everything measured here.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer heads are refused.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    /// 200, for instance.
    pub(crate) status: u16,
    /// All of it.
    pub(crate) body: Vec<u8>,
}

/// A keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Sends the bytes of a whole request and reads the answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Response> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head_end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(invalid("the head of an answer is too long"));
            }
            self.read_some().await?;
        };
        let (status, length) = parse_head(self.buffer.get(..head_end).unwrap_or_default())?;
        while self.buffer.len() < head_end + length {
            self.read_some().await?;
        }
        let body = self.buffer.split_off(head_end);
        Ok(Response { status, body })
    }

    async fn read_some(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// The bytes of a request with a body; `headers` are whole lines, each with its line end.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// One GET on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str, headers: &str) -> Result<Response> {
    let mut connection = Connection::open(address)
        .await
        .with_context(|| format!("connecting to {address}"))?;
    let request = request("GET", path, headers, &[]);
    connection
        .exchange(&request)
        .await
        .with_context(|| format!("GET {path} from {address}"))
}

fn parse_head(head: &[u8]) -> io::Result<(u16, usize)> {
    let text = std::str::from_utf8(head).map_err(|_| invalid("the head is not text"))?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    match (status, length) {
        (Some(status), Some(length)) => Ok((status, length)),
        (Some(status @ (204 | 304)), None) => Ok((status, 0)),
        _ => Err(invalid("an answer without status or length")),
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_whatever_the_case() {
        let head = b"HTTP/1.1 201 Created\r\ncontent-type: x\r\nCoNtent-LENGTH: 42\r\n\r\n";
        assert_eq!(parse_head(head).unwrap(), (201, 42));
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(parse_head(b"nonsense\r\n\r\n").is_err());
    }
}

//! Servers that stand for the real stores, installed by `tests/emulators.sh`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use objects::Store;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Azurite's account and key, which are printed in its manual.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const CONTAINER: &str = "archive";

/// A server that ends with it.
pub struct Emulator {
    /// Where it listens.
    pub address: SocketAddr,
    kind: Kind,
    child: Child,
    _folder: TempDir,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Azure,
    S3,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Emulator {
    /// Where in it stores begin.
    pub fn url(&self) -> &'static str {
        match self.kind {
            Kind::Azure => "az://archive/some/prefix",
            Kind::S3 => "s3://archive/some/prefix",
        }
    }

    /// What has to be known to reach it, at another address.
    pub fn settings(&self, address: SocketAddr) -> Vec<(&'static str, String)> {
        match self.kind {
            Kind::Azure => vec![
                ("azure_storage_account_name", ACCOUNT.to_owned()),
                ("azure_storage_account_key", KEY.to_owned()),
                (
                    "azure_storage_endpoint",
                    format!("http://{address}/{ACCOUNT}"),
                ),
                ("azure_allow_http", "true".to_owned()),
            ],
            Kind::S3 => vec![
                ("aws_access_key_id", "test".to_owned()),
                ("aws_secret_access_key", "test".to_owned()),
                ("aws_region", "us-east-1".to_owned()),
                ("aws_endpoint", format!("http://{address}")),
                ("aws_allow_http", "true".to_owned()),
            ],
        }
    }

    /// Its store, reached at another address.
    pub fn open(&self, address: SocketAddr) -> Store {
        let settings = self.settings(address);
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        open_with(self.url(), &settings)
    }
}

/// A store with settings of its own.
pub fn open_with(url: &str, settings: &[(&str, &str)]) -> Store {
    // A second time it says that it is done.
    _ = rustls::crypto::ring::default_provider().install_default();
    Store::open_with(url, settings).unwrap()
}

/// Azurite, with one container in it; nothing if it is not installed beside `tmp`, cargo's folder for tests.
pub async fn azure(tmp: &str) -> Option<Emulator> {
    let program = installed(tmp, "azurite/node_modules/.bin/azurite-blob")?;
    let started = start(Kind::Azure, |port| {
        let mut command = Command::new(&program);
        command.args(["--blobHost", "127.0.0.1", "--blobPort", port]);
        command.args(["--inMemoryPersistence", "--disableTelemetry", "--silent"]);
        command
    });
    let emulator = started.await;
    make_container(emulator.address).await;
    Some(emulator)
}

/// Moto, with one bucket in it; nothing if it is not installed beside `tmp`.
pub async fn s3(tmp: &str) -> Option<Emulator> {
    let packages = installed(tmp, "moto")?;
    let started = start(Kind::S3, |port| {
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", &packages);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", port]);
        command
    });
    let emulator = started.await;
    let head = format!("PUT /{CONTAINER} HTTP/1.1\r\nHost: s3.amazonaws.com\r\n");
    let answer = request(emulator.address, &head).await;
    assert!(answer.contains(" 200 "), "moto makes no bucket: {answer}");
    Some(emulator)
}

/// Where it is, or nothing and a loud word. Where the emulators have to be there, their absence is a failure.
fn installed(tmp: &str, what: &str) -> Option<PathBuf> {
    let folder = Path::new(tmp).join("../emulators");
    let folder = std::env::var_os("STARLING_EMULATORS").map_or(folder, PathBuf::from);
    let path = folder.join(what);
    if path.exists() {
        return Some(path);
    }
    let advice = format!(
        "{} is not installed: run tests/emulators.sh",
        path.display()
    );
    assert!(
        std::env::var_os("STARLING_NEED_EMULATORS").is_none(),
        "{advice}"
    );
    eprintln!("SKIPPED: {advice}");
    None
}

async fn start(kind: Kind, command: impl Fn(&str) -> Command) -> Emulator {
    let folder = TempDir::new().unwrap();
    // Neither of them can be told to choose a port. The one that was free a moment ago may be taken: then another.
    for _ in 0..5 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut child = command(&address.port().to_string())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if answers(address, &mut child).await {
            return Emulator {
                address,
                kind,
                child,
                _folder: folder,
            };
        }
        _ = child.kill();
        _ = child.wait();
    }
    panic!("the emulator does not start");
}

/// Waits until the server listens; not if it has ended.
async fn answers(address: SocketAddr, child: &mut Child) -> bool {
    for _ in 0..600 {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if TcpStream::connect(address).await.is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

/// One request without a body; the answer's first bytes.
async fn request(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text = format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let count = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

/// The client library makes no containers.
async fn make_container(address: SocketAddr) {
    let (date, version) = (now(), "2021-08-06");
    let signed = format!(
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n\
         /{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
    );
    let key = BASE64_STANDARD.decode(KEY).unwrap();
    let signature = BASE64_STANDARD.encode(hmac(&key, signed.as_bytes()));
    let head = format!(
        "PUT /{ACCOUNT}/{CONTAINER}?restype=container HTTP/1.1\r\nHost: {address}\r\nx-ms-date: {date}\r\n\
         x-ms-version: {version}\r\nAuthorization: SharedKey {ACCOUNT}:{signature}\r\n"
    );
    let answer = request(address, &head).await;
    assert!(
        answer.contains(" 201 "),
        "Azurite makes no container: {answer}"
    );
}

/// As HTTP writes it.
fn now() -> String {
    let date = Command::new("date")
        .args(["-u", "+%a, %d %b %Y %H:%M:%S GMT"])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    String::from_utf8_lossy(&date.stdout).trim().to_owned()
}

/// RFC 2104 with SHA-256.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text);
    let outer = Sha256::new().chain_update(pad(0x5c));
    outer.chain_update(inner.finalize()).finalize().to_vec()
}

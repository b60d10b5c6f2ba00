//! Three etcd members, and a client of one of them.
//!
//! The few messages of etcd's API that are needed are written by hand; field numbers are those of its `rpc.proto`
//! and `kv.proto`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::time::Instant;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::cluster::{Cluster, MEMBERS, NotAcknowledged, Setup, WriteId, Writer};
use crate::hosts::Seat;
use crate::process::Process;

const NEEDED: &str = "etcd is needed for the comparison (Debian: apt-get install etcd-server)";
const PATIENCE: Duration = Duration::from_secs(60);
const KEY_PREFIX: &[u8] = b"w/";
/// Keys asked for at once when counting.
const PAGE: i64 = 10_000;

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// Its header does not matter here.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    limit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
    #[prost(bool, tag = "3")]
    more: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    /// How often the key was put since it was made.
    #[prost(int64, tag = "4")]
    version: i64,
    #[prost(bytes = "vec", tag = "5")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(uint64, tag = "4")]
    leader: u64,
    #[prost(uint64, tag = "5")]
    raft_index: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResponseHeader {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

/// A client; those of one member share its channel.
#[derive(Debug)]
pub(crate) struct PutWriter {
    channel: Channel,
}

impl Writer for PutWriter {
    async fn write(&mut self, id: WriteId) -> Result<(), NotAcknowledged> {
        let mut key = KEY_PREFIX.to_vec();
        key.extend_from_slice(format!("{:016x}", id.0).as_bytes());
        let request = PutRequest {
            key,
            value: id.body().to_vec(),
        };
        let answer: Result<PutResponse, _> =
            call(&self.channel, "/etcdserverpb.KV/Put", request).await;
        answer
            .map(|_| ())
            .map_err(|status| NotAcknowledged(status.to_string()))
    }

    /// A put may always be.
    fn repeatable(self) -> Self {
        self
    }
}

#[derive(Debug)]
struct Member {
    seat: Seat,
    channel: Channel,
    arguments: Vec<String>,
    process: Process,
}

/// A cluster with TLS between members.
#[derive(Debug)]
pub(crate) struct Etcd {
    program: PathBuf,
    members: Vec<Member>,
    folder: TempDir,
}

impl Cluster for Etcd {
    const NAME: &'static str = "etcd";
    /// A second put of a key is another version of it.
    const ONCE: bool = false;
    type Writer = PutWriter;

    async fn start(setup: &Setup) -> Result<Self> {
        let folder = setup.new_folder("etcd-")?;
        let seats = setup.hosts.seats()?;
        write_certificates(folder.path(), &seats)?;
        let mut members = Vec::new();
        for (member, seat) in seats.iter().enumerate() {
            let arguments = arguments(folder.path(), member, &seats);
            let process = spawn(&setup.etcd, seat, &arguments, folder.path(), member)?;
            let channel = Endpoint::from_shared(format!("http://{}", seat.client))?
                .connect_timeout(Duration::from_secs(1))
                .connect_lazy();
            members.push(Member {
                seat: seat.clone(),
                channel,
                arguments,
                process,
            });
        }
        let cluster = Self {
            program: setup.etcd.clone(),
            members,
            folder,
        };
        for member in 0..MEMBERS {
            cluster.wait_for_writes(member).await?;
        }
        Ok(cluster)
    }

    fn writer(&self, member: usize) -> PutWriter {
        PutWriter {
            channel: self.member(member).channel.clone(),
        }
    }

    fn pids(&self) -> Vec<u32> {
        let alive = self
            .members
            .iter()
            .filter(|member| member.process.is_alive());
        alive.map(|member| member.process.pid()).collect()
    }

    async fn key_member(&self) -> Result<usize> {
        for (index, member) in self.members.iter().enumerate() {
            if !member.process.is_alive() {
                continue;
            }
            let status = status(&member.channel)
                .await
                .context("asking an etcd member for its leader")?;
            if status
                .header
                .is_some_and(|header| header.member_id == status.leader)
            {
                return Ok(index);
            }
        }
        bail!("no etcd member says that it leads")
    }

    fn kill(&mut self, member: usize) -> Result<()> {
        self.member_mut(member).process.kill()
    }

    fn revive(&mut self, member: usize) -> Result<()> {
        let (seat, arguments) = (
            self.member(member).seat.clone(),
            self.member(member).arguments.clone(),
        );
        let process = spawn(&self.program, &seat, &arguments, self.folder.path(), member)?;
        self.member_mut(member).process = process;
        Ok(())
    }

    fn freeze(&mut self, member: usize, frozen: bool) -> Result<()> {
        self.member(member).process.freeze(frozen)
    }

    async fn caught_up(&self, member: usize) -> Result<()> {
        let survivor = &self.member((member + 1) % MEMBERS).channel;
        let goal = status(survivor)
            .await
            .context("asking a survivor how far it is")?
            .raft_index;
        self.wait_for_writes(member).await?;
        let deadline = Instant::now() + PATIENCE;
        while !status(&self.member(member).channel)
            .await
            .is_ok_and(|s| s.raft_index >= goal)
        {
            wait_a_moment(deadline, "an etcd member to catch up").await?;
        }
        Ok(())
    }

    async fn stored(&self) -> Result<BTreeMap<WriteId, u64>> {
        let mut stored = BTreeMap::new();
        let mut from = KEY_PREFIX.to_vec();
        loop {
            let request = RangeRequest {
                key: from.clone(),
                range_end: b"w0".to_vec(),
                limit: PAGE,
            };
            let channel = &self.member(0).channel;
            let page: RangeResponse = call(channel, "/etcdserverpb.KV/Range", request).await?;
            for pair in &page.kvs {
                let id = WriteId::of_body(&pair.value).context("a value that no client wrote")?;
                stored.insert(id, u64::try_from(pair.version)?);
            }
            match page.kvs.last() {
                Some(last) if page.more => {
                    from.clone_from(&last.key);
                    from.push(0);
                }
                _ => return Ok(stored),
            }
        }
    }

    async fn stop(mut self) -> Result<()> {
        for member in &mut self.members {
            if member.process.is_alive() {
                member.process.end(Duration::from_secs(10)).await?;
            }
        }
        self.folder.close().context("removing a cluster's folder")
    }
}

impl Etcd {
    async fn wait_for_writes(&self, member: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut writer = self.writer(member);
        while let Err(error) = writer.write(WriteId(u64::MAX)).await {
            wait_a_moment(deadline, &format!("the first put ({error})")).await?;
        }
        Ok(())
    }

    fn member(&self, member: usize) -> &Member {
        self.members.get(member).expect("all members were started")
    }

    fn member_mut(&mut self, member: usize) -> &mut Member {
        self.members
            .get_mut(member)
            .expect("all members were started")
    }
}

async fn call<Q, A>(channel: &Channel, path: &'static str, request: Q) -> Result<A, tonic::Status>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut client = tonic::client::Grpc::new(channel.clone()).max_decoding_message_size(64 << 20);
    client
        .ready()
        .await
        .map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::default();
    let answer = client
        .unary(
            tonic::Request::new(request),
            PathAndQuery::from_static(path),
            codec,
        )
        .await?;
    Ok(answer.into_inner())
}

async fn status(channel: &Channel) -> Result<StatusResponse, tonic::Status> {
    call(
        channel,
        "/etcdserverpb.Maintenance/Status",
        StatusRequest {},
    )
    .await
}

/// Fails unless the program runs; in a namespace nobody would notice before long.
pub(crate) fn check_installed(program: &Path) -> Result<()> {
    Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| format!("starting {}", program.display()))
        .context(NEEDED)?;
    Ok(())
}

fn spawn(
    program: &Path,
    seat: &Seat,
    arguments: &[String],
    folder: &Path,
    member: usize,
) -> Result<Process> {
    let mut command = seat.command(program);
    command.args(arguments);
    Process::start(command, &folder.join(format!("e{member}.log"))).context(NEEDED)
}

/// Everything else is etcd's default, timeouts and fsync among it.
fn arguments(folder: &Path, member: usize, seats: &[Seat]) -> Vec<String> {
    let seat = seats.get(member).expect("a seat for every member");
    let (client, peer) = (seat.client, seat.peer);
    let folder = folder.display();
    let cluster: Vec<String> = seats
        .iter()
        .enumerate()
        .map(|(index, seat)| format!("e{index}=https://{}", seat.peer))
        .collect();
    let pairs = [
        ("name", format!("e{member}")),
        ("data-dir", format!("{folder}/e{member}")),
        ("listen-client-urls", format!("http://{client}")),
        ("advertise-client-urls", format!("http://{client}")),
        ("listen-peer-urls", format!("https://{peer}")),
        ("initial-advertise-peer-urls", format!("https://{peer}")),
        ("initial-cluster", cluster.join(",")),
        ("initial-cluster-state", "new".to_owned()),
        ("peer-cert-file", format!("{folder}/peer.pem")),
        ("peer-key-file", format!("{folder}/peer-key.pem")),
        ("peer-trusted-ca-file", format!("{folder}/ca.pem")),
        ("peer-client-cert-auth", "true".to_owned()),
        ("logger", "zap".to_owned()),
        ("log-level", "warn".to_owned()),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect()
}

/// An authority and one certificate for all members, with all their addresses.
fn write_certificates(folder: &Path, seats: &[Seat]) -> Result<()> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate()?;
    let addresses: Vec<String> = seats
        .iter()
        .map(|seat| seat.peer.ip().to_string())
        .collect();
    let mut peer = CertificateParams::new(addresses)?;
    peer.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let peer_pem = peer.signed_by(&key, &issuer)?.pem();

    for (name, text) in [
        ("ca.pem", authority_pem),
        ("peer.pem", peer_pem),
        ("peer-key.pem", key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), text).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

async fn wait_a_moment(deadline: Instant, what: &str) -> Result<()> {
    if Instant::now() > deadline {
        bail!("waited {PATIENCE:?} for {what}");
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(())
}

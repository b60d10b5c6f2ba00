//! One of three members is killed, paused or cut off for a few seconds, under load.
//!
//! The members run in network namespaces, so that cutting one off looks to the others and to its clients as if somebody
//! had pulled its plug: no connection breaks, nothing is refused, packets vanish. Clients behave as real ones do. What
//! is not acknowledged in time they send again, the same write, to the next member, and stay there.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Options;
use crate::cluster::{Cluster, MEMBERS, Setup};
use crate::etcd::Etcd;
use crate::load::{Load, Sample, check_stored, spread};
use crate::report::{Report, Table};
use crate::series::{AWAY, BACK, BEFORE, BIN, Series};
use crate::starling::Starling;
use crate::statistics::millis;

/// Not watched: connections are made, and what the last fault left behind settles.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long a client waits for an answer before it goes elsewhere.
const PATIENCE: Duration = Duration::from_millis(500);

/// What happens to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    Pause,
    Isolate,
}

/// To which member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Who had the turn (etcd: leads) a moment before; clients write through all members.
    Proposer,
    /// Another; clients write through all members.
    Other,
    /// The one member that all clients write through.
    Everybodys,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Kill, Self::Pause, Self::Isolate];

    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Isolate => "isolate",
        }
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Proposer => "proposer",
            Self::Other => "other",
            Self::Everybodys => "everybodys",
        }
    }
}

/// One fault of one member, as often as it was tried.
struct Case {
    system: &'static str,
    fault: Fault,
    role: Role,
    series: Vec<Series>,
}

impl Case {
    fn to_json(&self) -> Value {
        let runs: Vec<Value> = self.series.iter().map(Series::to_json).collect();
        json!({
            "system": self.system, "fault": self.fault.name(), "role": self.role.name(), "runs": runs,
        })
    }
}

/// All faults of all members of both systems.
pub(crate) async fn run(setup: &mut Setup, options: &Options) -> Result<Report> {
    let ours = [Role::Proposer, Role::Other, Role::Everybodys];
    let theirs = [Role::Proposer, Role::Other];
    let mut cases = Vec::new();
    for fault in Fault::ALL {
        cases.extend(measure::<Starling>(setup, options, fault, &ours).await?);
        cases.extend(measure::<Etcd>(setup, options, fault, &theirs).await?);
    }
    let command = format!(
        "starling-bench losing --clients {} --repeats {}",
        options.clients, options.repeats
    );
    let mut table = Table::new(
        "Losing a member",
        &command,
        &["fault", "member", "system", "longest gap, ms"],
    );
    for case in &cases {
        let gaps = case
            .series
            .iter()
            .map(|series| format!("{:.0}", millis(series.gap())));
        table.row(&[
            case.fault.name().to_owned(),
            case.role.name().to_owned(),
            case.system.to_owned(),
            gaps.collect::<Vec<_>>().join(", "),
        ]);
    }
    Ok(Report {
        name: "losing",
        data: json!({
            "command": command, "clients": options.clients, "patienceMs": millis(PATIENCE), "binMs": millis(BIN),
            "beforeMs": millis(BEFORE), "awayMs": millis(AWAY), "backMs": millis(BACK),
            "cases": cases.iter().map(Case::to_json).collect::<Vec<_>>(),
        }),
        markdown: table.finish(
            "The longest time without an acknowledged write while the fault lasts, each try.",
        ),
    })
}

/// One fault of each of these members of a fresh cluster, again and again.
async fn measure<C: Cluster>(
    setup: &mut Setup,
    options: &Options,
    fault: Fault,
    roles: &[Role],
) -> Result<Vec<Case>> {
    let named = || format!("{}, {}", C::NAME, fault.name());
    let mut cluster = C::start(setup).await.with_context(named)?;
    let case = |role: &Role| Case {
        system: C::NAME,
        fault,
        role: *role,
        series: Vec::new(),
    };
    let mut cases: Vec<Case> = roles.iter().map(case).collect();
    let mut samples = Vec::new();
    for _ in 0..options.repeats {
        for case in &mut cases {
            let (series, seen) = once(&mut cluster, setup, fault, case.role, options.clients)
                .await
                .with_context(named)?;
            eprintln!(
                "{}, {}: longest gap {:.0} ms",
                named(),
                case.role.name(),
                millis(series.gap())
            );
            case.series.push(series);
            samples.extend(seen);
        }
    }
    check_stored(&samples, &cluster.stored().await?, C::ONCE).with_context(named)?;
    cluster.stop().await?;
    Ok(cases)
}

/// The fault comes, lasts and goes under load. Returns when the member is back.
async fn once<C: Cluster>(
    cluster: &mut C,
    setup: &mut Setup,
    fault: Fault,
    role: Role,
    clients: usize,
) -> Result<(Series, Vec<Sample>)> {
    let home = cluster.key_member().await?;
    let homes = match role {
        Role::Everybodys => vec![home; clients],
        Role::Proposer | Role::Other => spread(clients, MEMBERS),
    };
    let load = Load::start_roaming(cluster, &homes, PATIENCE);
    tokio::time::sleep(WARM_UP + BEFORE).await;
    let victim = match role {
        Role::Everybodys => home,
        Role::Proposer => cluster.key_member().await?,
        Role::Other => (cluster.key_member().await? + 1) % MEMBERS,
    };
    let at = Instant::now();
    strike(cluster, setup, fault, victim)?;
    tokio::time::sleep_until(at + AWAY).await;
    mend(cluster, setup, fault, victim)?;
    tokio::time::sleep_until(at + AWAY + BACK).await;
    let work = load.stop().await?;
    cluster.caught_up(victim).await?;
    Ok((Series::around(&work.samples, at), work.samples))
}

fn strike<C: Cluster>(
    cluster: &mut C,
    setup: &mut Setup,
    fault: Fault,
    victim: usize,
) -> Result<()> {
    match fault {
        Fault::Kill => cluster.kill(victim),
        Fault::Pause => cluster.freeze(victim, true),
        Fault::Isolate => Ok(setup.hosts.network()?.isolate(victim)?),
    }
}

fn mend<C: Cluster>(cluster: &mut C, setup: &mut Setup, fault: Fault, victim: usize) -> Result<()> {
    match fault {
        Fault::Kill => cluster.revive(victim),
        Fault::Pause => cluster.freeze(victim, false),
        Fault::Isolate => Ok(setup.hosts.network()?.join(victim)?),
    }
}

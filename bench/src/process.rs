//! Child processes: started with a log file, never outliving this program, and what the kernel says of them.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// What `/proc/<pid>/stat` counts in: USER_HZ is 100 on every Linux that matters.
const TICK: Duration = Duration::from_millis(10);

/// A process of ours, killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    ended: bool,
}

/// A signal we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// An orderly end.
    Terminate,
    /// No warning.
    Kill,
    /// Time stops.
    Stop,
    /// And goes on.
    Continue,
}

impl Process {
    /// Starts `command` with its output appended to `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        // A pipe that closes when this program ends; who cares can ask for its end then.
        command
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        Ok(Self {
            child,
            ended: false,
        })
    }

    /// Its id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether we have not ended it.
    pub(crate) fn is_alive(&self) -> bool {
        !self.ended
    }

    /// Kills it and returns when it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.signal(Signal::Kill)?;
        self.ended = true;
        self.child.wait().context("waiting for a killed process")?;
        Ok(())
    }

    /// Asks it to end and waits; one that does not within `limit` is killed.
    pub(crate) async fn end(&mut self, limit: Duration) -> Result<()> {
        self.signal(Signal::Terminate)?;
        let deadline = tokio::time::Instant::now() + limit;
        while !self.has_ended()? {
            if tokio::time::Instant::now() > deadline {
                eprintln!(
                    "process {} did not end in {limit:?}; killing it",
                    self.pid()
                );
                return self.kill();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.ended = true;
        Ok(())
    }

    fn has_ended(&mut self) -> Result<bool> {
        let status = self.child.try_wait().context("waiting for a process")?;
        Ok(status.is_some())
    }

    /// Stops its time, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<()> {
        self.signal(if frozen {
            Signal::Stop
        } else {
            Signal::Continue
        })
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let name = match signal {
            Signal::Terminate => "TERM",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        // Every shell has `kill` built in; the program of that name is not installed everywhere.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.pid())])
            .stderr(Stdio::null())
            .status()
            .context("running sh")?;
        if !status.success() {
            bail!("process {} is gone already", self.pid());
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = self.kill()
        {
            eprintln!("{error:#}");
        }
    }
}

/// Processor time used so far, in user space and in the kernel, by all threads.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    parse_cpu_time(&text).with_context(|| format!("understanding {path}"))
}

/// Memory resident now, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    parse_kibibytes(&text, "VmRSS:").with_context(|| format!("understanding {path}"))
}

/// Memory that is resident and no file's, in bytes.
pub(crate) fn anonymous_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    parse_kibibytes(&text, "RssAnon:").with_context(|| format!("understanding {path}"))
}

fn parse_cpu_time(stat: &str) -> Option<Duration> {
    // The second field is the program's name in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

fn parse_kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_fields_14_and_15() {
        let stat = "7 (a ) name) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 3 4 20 0 9 0 5 6 7";
        assert_eq!(parse_cpu_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(parse_cpu_time("7 (x) S 1"), None);
    }

    #[test]
    fn resident_memory_is_in_kibibytes() {
        assert_eq!(
            parse_kibibytes("Name:\tx\nVmRSS:\t   2048 kB\n", "VmRSS:"),
            Some(2 << 20)
        );
        assert_eq!(parse_kibibytes("Name:\tx\n", "VmRSS:"), None);
    }
}

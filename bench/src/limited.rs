//! Holds a process to a share of a core, by a control group of either version. It takes root.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

const PERIOD_US: u32 = 20_000;

/// A control group; it goes away with this, if its processes have ended.
#[derive(Debug)]
pub(crate) struct Limited(PathBuf);

impl Limited {
    /// One whose processes have half of a core together.
    pub(crate) fn half_a_core() -> Result<Self> {
        let name = format!("starling-bench-{}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        let half = PERIOD_US / 2;
        if root.join("cpu").is_dir() {
            let group = Self::make(root.join("cpu").join(name))?;
            group.set("cpu.cfs_period_us", &PERIOD_US.to_string())?;
            group.set("cpu.cfs_quota_us", &half.to_string())?;
            return Ok(group);
        }
        if !root.join("cgroup.controllers").is_file() {
            bail!("this machine has no control groups in {}", root.display());
        }
        let group = Self::make(root.join(name))?;
        group.set("cpu.max", &format!("{half} {PERIOD_US}"))?;
        Ok(group)
    }

    fn make(path: PathBuf) -> Result<Self> {
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        let path = self.0.join(file);
        fs::write(&path, value).with_context(|| format!("writing {}", path.display()))
    }

    /// Puts a process into it, with all its threads.
    pub(crate) fn hold(&self, pid: u32) -> Result<()> {
        self.set("cgroup.procs", &pid.to_string())
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // Its processes may be on their way out: then it stays, and holds nobody.
        let _ = fs::remove_dir(&self.0);
    }
}

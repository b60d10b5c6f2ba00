//! Programs outside that decode what nothing here can: HEIC and AVIF, films, rare pictures.
//!
//! They are large, old and fed with strangers' bytes, so each runs as a child that can do little harm: limits on memory, on
//! time of the processor, on the size and number of its files; a process group of its own that is killed as a whole when
//! its time is over or nobody waits any more; an empty environment; an empty folder to write into; and no network, where
//! the system lets us take it away. `sh` sets the limits before it becomes the program, so there is no moment without them.
//!
//! A film's demuxer is told which kind of file it has, so that no file can pose as a list of others to be shown.
//!
//! Programs are looked for at each use: one that is installed later is found, and one that is gone is missing again.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Set before the program starts, by a shell that is replaced by it. Memory in KiB, processor time in seconds, files in
/// blocks of 512 bytes.
const LIMITS: &str = "ulimit -c 0 && ulimit -t 30 && ulimit -v 2097152 && ulimit -f 524288 && ulimit -n 64 && exec \"$@\"";
/// The largest side of the picture of a film. Nothing larger is ever shown.
const FIT: &str = "scale=w='min(1440,iw)':h='min(1440,ih)':force_original_aspect_ratio=decrease";
/// What a program may say about its failure.
const SAID_BYTES_MAX: u64 = 2048;
/// How the picture is called that a program makes.
const PICTURE: &str = "picture.jpg";

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// No program that would do it is installed.
    #[error("no program for it is installed")]
    Missing,
    /// The program gave up.
    #[error("{program} cannot decode it: {why}")]
    Broken {
        /// Which.
        program: &'static str,
        /// What it said.
        why: String,
    },
    /// It could not be run, which says nothing of the file.
    #[error("running {program}")]
    Run {
        /// Which.
        program: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// What is to be decoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Its bytes.
    pub(crate) path: &'a Path,
    /// By content.
    pub(crate) media_type: &'a str,
    /// The kind of decoder it needs.
    pub(crate) needs: &'a str,
    /// Whether it must be turned to be upright.
    pub(crate) turned: bool,
}

/// A program, and the way to ask it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Way {
    program: &'static str,
    path: PathBuf,
    arguments: Vec<String>,
}

/// The programs of this machine.
pub(crate) struct Decoders {
    folders: Vec<PathBuf>,
    workshop: PathBuf,
    next: AtomicU64,
    /// What takes the network away, if the system lets us.
    unshare: OnceLock<Option<PathBuf>>,
}

impl Decoders {
    /// Those in `folders`. Work is done in a folder of its own, which is emptied now.
    pub(crate) fn new(folders: Vec<PathBuf>, workshop: PathBuf) -> Self {
        // What a run before has left; if it cannot be removed, making a folder in it says so.
        let _ = fs::remove_dir_all(&workshop);
        Self {
            folders,
            workshop,
            next: AtomicU64::new(0),
            unshare: OnceLock::new(),
        }
    }

    /// Whether something is installed for what needs this decoder.
    pub(crate) fn has(&self, needs: &str) -> bool {
        let programs: &[&str] = match needs {
            "libheif" => &["heif-dec", "heif-convert"],
            "ffmpeg" => &["ffmpeg"],
            _ => &[],
        };
        programs.iter().any(|program| self.find(program).is_some())
    }

    /// Makes a picture of a file, upright.
    ///
    /// # Errors
    /// [`DecodeError`] if there is none.
    pub(crate) async fn decode(&self, wanted: Wanted<'_>) -> Result<Decoded, DecodeError> {
        let mut last = DecodeError::Missing;
        for way in self.ways(wanted) {
            match self.run(&way).await {
                Ok(decoded) => return Ok(decoded),
                Err(error) => {
                    tracing::debug!(program = way.program, %error, "decoding");
                    last = error;
                }
            }
        }
        Err(last)
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        let mut places = self.folders.iter().map(|folder| folder.join(program));
        places.find(|place| place.is_file())
    }

    /// The programs that may do it, best first.
    fn ways(&self, wanted: Wanted<'_>) -> Vec<Way> {
        let heif = || {
            ["heif-dec", "heif-convert"].map(|program| {
                let file = wanted.path.display().to_string();
                let quality = ["-q".to_owned(), "95".to_owned()];
                (
                    program,
                    [&quality[..], &[file, PICTURE.to_owned()]].concat(),
                )
            })
        };
        let film = || demuxer(wanted).map(|demuxer| ("ffmpeg", ffmpeg(wanted, demuxer)));
        let asked: Vec<(&'static str, Vec<String>)> = match wanted.needs {
            // Without knowing of turns it would be shown lying on its side.
            "libheif" => heif()
                .into_iter()
                .chain(film().filter(|_| !wanted.turned))
                .collect(),
            "ffmpeg" => film().into_iter().collect(),
            _ => Vec::new(),
        };
        let found = asked.into_iter().filter_map(|(program, arguments)| {
            Some(Way {
                program,
                path: self.find(program)?,
                arguments,
            })
        });
        found.collect()
    }

    async fn run(&self, way: &Way) -> Result<Decoded, DecodeError> {
        let failed = |source| DecodeError::Run {
            program: way.program,
            source,
        };
        let bench = self.bench().map_err(failed)?;
        let said = bench.0.join("said");
        let mut command = self.command(way).await;
        let mut child = command
            .current_dir(&bench.0)
            .stderr(File::create(&said).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let group = Group(
            child
                .id()
                .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)),
        );
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        drop(group);
        let broken = |why| DecodeError::Broken {
            program: way.program,
            why,
        };
        let Ok(ended) = ended else {
            return Err(broken(format!(
                "it took more than {} s",
                PATIENCE.as_secs()
            )));
        };
        let status = ended.map_err(failed)?;
        if !status.success() {
            return Err(broken(why(&said, status)));
        }
        match bench.picture() {
            Some(path) => Ok(Decoded {
                path,
                _bench: bench,
            }),
            None => Err(broken("it made no picture".to_owned())),
        }
    }

    /// The program under its limits.
    async fn command(&self, way: &Way) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .env_clear()
            .args(["-c", LIMITS, "sh"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(unshare) = self.unshare().await {
            command.arg(unshare).args(["--user", "--net", "--"]);
        }
        command.arg(&way.path).args(&way.arguments);
        command
    }

    /// The program that takes the network away, if it may.
    async fn unshare(&self) -> Option<&PathBuf> {
        if let Some(known) = self.unshare.get() {
            return known.as_ref();
        }
        let path = ["/usr/bin/unshare", "/bin/unshare"].map(PathBuf::from);
        let path = path.into_iter().find(|path| path.is_file());
        let permitted = match &path {
            Some(path) => {
                let mut probe = Command::new(path);
                probe.args(["--user", "--net", "--", "/bin/sh", "-c", ":"]);
                probe.env_clear().stdin(Stdio::null()).stdout(Stdio::null());
                let ended = probe.stderr(Stdio::null()).status().await;
                ended.is_ok_and(|status| status.success())
            }
            None => false,
        };
        self.unshare
            .get_or_init(|| path.filter(|_| permitted))
            .as_ref()
    }

    /// A new empty folder.
    fn bench(&self) -> io::Result<Bench> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let folder = self.workshop.join(number.to_string());
        fs::create_dir_all(&folder)?;
        Ok(Bench(folder))
    }
}

/// How `ffmpeg` calls this kind of file.
fn demuxer(wanted: Wanted<'_>) -> Option<&'static str> {
    Some(match wanted.media_type {
        "video/mp4" | "video/quicktime" | "video/3gpp" | "video/3gpp2" | "image/heic"
        | "image/heif" | "image/avif" => "mov",
        "video/x-matroska" | "video/webm" => "matroska",
        "video/x-msvideo" => "avi",
        "video/mpeg" => "mpeg",
        "video/x-flv" => "flv",
        "video/x-ms-asf" => "asf",
        "image/jxl" => "jpegxl_pipe",
        "image/jp2" => "j2k_pipe",
        "image/vnd.adobe.photoshop" => "psd_pipe",
        "image/bmp" => "bmp_pipe",
        _ => return None,
    })
}

fn ffmpeg(wanted: Wanted<'_>, demuxer: &str) -> Vec<String> {
    let input = format!("file:{}", wanted.path.display());
    // Films often begin in black: of the first frames the one that is most like the others.
    let filter = if wanted.media_type.starts_with("video/") {
        format!("thumbnail=n=24,{FIT}")
    } else {
        FIT.to_owned()
    };
    let arguments = [
        "-nostdin",
        "-v",
        "error",
        "-threads",
        "1",
        "-protocol_whitelist",
        "file",
        "-f",
        demuxer,
        "-i",
        &input,
        "-an",
        "-sn",
        "-frames:v",
        "1",
        "-vf",
        &filter,
        "-q:v",
        "2",
        "-f",
        "mjpeg",
        "-y",
        PICTURE,
    ];
    arguments.map(str::to_owned).to_vec()
}

/// What a program said, in one line, else how it ended.
fn why(said: &Path, status: ExitStatus) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(said) {
        // What cannot be read was not said.
        let _ = file.take(SAID_BYTES_MAX).read_to_end(&mut bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty());
    let printable = |line: &str| -> String {
        let kept = line.chars().filter(|c| !c.is_control());
        kept.take(120).collect()
    };
    line.map(printable).unwrap_or_else(|| status.to_string())
}

/// A process and all it has started; killed when nobody waits for it any more.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It has mostly ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// A folder that goes with whoever holds it.
struct Bench(PathBuf);

impl Bench {
    /// The picture that was made. Of a file with several it is the first.
    fn picture(&self) -> Option<PathBuf> {
        let entries = fs::read_dir(&self.0).ok()?.filter_map(Result::ok);
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let first = names.filter(|name| name.starts_with("picture")).min()?;
        let path = self.0.join(first);
        fs::symlink_metadata(&path).ok()?.is_file().then_some(path)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The next start empties what this leaves.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A picture that a program made. It goes when this is dropped.
pub(crate) struct Decoded {
    /// Where it is.
    pub(crate) path: PathBuf,
    _bench: Bench,
}

#[cfg(test)]
mod tests;

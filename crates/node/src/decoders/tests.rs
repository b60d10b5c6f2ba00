//! Programs that behave badly: they are played by scripts.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use tempfile::TempDir;

use super::*;

/// A machine whose `heif-convert` is this script.
fn machine(script: &str) -> (TempDir, Decoders) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("heif-convert");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let workshop = folder.path().join("decoding");
    let decoders = Decoders::new(vec![folder.path().to_owned()], workshop);
    (folder, decoders)
}

fn heic(path: &Path) -> Wanted<'_> {
    Wanted {
        path,
        media_type: "image/heic",
        needs: "libheif",
        turned: false,
    }
}

async fn failure(script: &str) -> String {
    let (folder, decoders) = machine(script);
    let failed = decoders.decode(heic(folder.path())).await;
    let left = fs::read_dir(folder.path().join("decoding"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "nothing is left behind");
    failed.err().expect("no picture").to_string()
}

#[tokio::test]
async fn a_program_gets_its_file_an_empty_environment_and_a_folder() {
    let (folder, decoders) = machine("cat \"$3\" > \"$4\"; env >> \"$4\"; pwd >> \"$4\"");
    let input = folder.path().join("input");
    fs::write(&input, "bytes\n").unwrap();
    let decoded = decoders.decode(heic(&input)).await.unwrap();
    let text = fs::read_to_string(&decoded.path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.first(), Some(&"bytes"));
    assert!(lines.last().unwrap().contains("decoding/0"), "{text}");
    let set = lines.iter().filter(|line| line.contains('='));
    // The shell that plays the program makes these itself.
    let own = |line: &&&str| line.starts_with("PWD=") || line.starts_with("_=");
    assert_eq!(set.clone().count(), set.filter(own).count(), "{text}");
    let bench = decoded.path.parent().unwrap().to_owned();
    drop(decoded);
    assert!(!bench.exists());
}

#[tokio::test]
async fn limits_are_set_before_the_program_starts() {
    let (_folder, decoders) =
        machine("for of in c t v f n; do ulimit -$of; done > \"$4\" 2>/dev/null");
    let decoded = decoders.decode(heic(Path::new("/dev/null"))).await.unwrap();
    let limits = fs::read_to_string(&decoded.path).unwrap();
    assert_eq!(limits, "0\n30\n2097152\n524288\n64\n");
}

#[tokio::test]
async fn a_program_that_wants_all_the_memory_ends_alone() {
    // The shell itself holds what it reads.
    let greedy = "x=x; while :; do x=\"$x$x$x$x\"; done";
    let said = failure(greedy).await;
    assert!(said.starts_with("heif-convert cannot decode it"), "{said}");
}

#[tokio::test]
async fn what_a_program_says_is_told_in_one_line() {
    let said = failure("echo first >&2; printf 'Invalid input\\033[31m\\n' >&2; exit 3").await;
    assert_eq!(said, "heif-convert cannot decode it: Invalid input[31m");
    assert_eq!(
        failure("exit 0").await,
        "heif-convert cannot decode it: it made no picture"
    );
    let linked = "ln -s /etc/passwd picture.jpg";
    assert_eq!(
        failure(linked).await,
        "heif-convert cannot decode it: it made no picture"
    );
}

#[tokio::test]
async fn whoever_stops_waiting_ends_the_program_and_all_it_started() {
    let (folder, decoders) = machine("sleep 600 & echo $! > \"$3\"; wait");
    let noted = folder.path().join("child");
    let decoding = decoders.decode(heic(&noted));
    let child = async {
        loop {
            match fs::read_to_string(&noted) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let child = tokio::select! {
        _ = decoding => panic!("it ended by itself"),
        child = child => child,
    };
    let alive = PathBuf::from(format!("/proc/{child}/cmdline"));
    let begun = Instant::now();
    // A zombie that nobody has taken away yet has no command line.
    while fs::read_to_string(&alive).is_ok_and(|line| !line.is_empty()) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it lives on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_a_program_it_says_so() {
    let (folder, decoders) = machine("");
    assert!(decoders.has("libheif") && !decoders.has("ffmpeg") && !decoders.has("libraw"));
    fs::remove_file(folder.path().join("heif-convert")).unwrap();
    assert!(!decoders.has("libheif"));
    let failed = decoders.decode(heic(Path::new("/dev/null"))).await;
    assert!(matches!(failed, Err(DecodeError::Missing)));
}

#[test]
fn a_film_is_never_taken_for_a_list_of_files() {
    let wanted = |media_type| Wanted {
        path: Path::new("/x"),
        media_type,
        needs: "ffmpeg",
        turned: false,
    };
    assert_eq!(demuxer(wanted("video/mp4")), Some("mov"));
    assert_eq!(demuxer(wanted("application/vnd.apple.mpegurl")), None);
    let asked = ffmpeg(wanted("video/mp4"), "mov").join(" ");
    assert!(
        asked.contains("-protocol_whitelist file -f mov -i file:/x"),
        "{asked}"
    );
}

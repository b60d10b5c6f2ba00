//! What is read out of files and seen of them, through the API: whose word counts, what they look like on every node, and
//! what becomes of those that mean harm.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;

use image::{ImageFormat, Rgb, RgbImage};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::files::form;
use super::{Node, is, refused};
use crate::init::HttpSecurity;

/// A file that another program wrote: see `crates/media/tests/fixtures/README.md`.
fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../media/tests/fixtures");
    std::fs::read(folder.join(name)).unwrap()
}

fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Something to look at: no two seeds alike.
fn painting(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x * 255 / width, y * 255 / height);
        let shade = |value: u32| u8::try_from(value % 256).unwrap();
        Rgb([
            shade((x * (seed % 5 + 1)) ^ y),
            shade(x + y * seed),
            shade((x * y / 32) * (seed + 1)),
        ])
    })
}

/// A JPEG that says it lies on its side, or worse.
fn turned(picture: &RgbImage, orientation: u8) -> Vec<u8> {
    let jpeg = encoded(picture, ImageFormat::Jpeg);
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

/// Settings in which decoders are looked for in `folder`, and often.
fn finds_decoders(config: &mut crate::config::NodeConfig, folder: &Path) {
    config.media.decoders = Some(folder.display().to_string());
    config.media.look_every = Duration::from_millis(100);
}

/// Installs a `heif-convert` that makes this picture of everything.
fn install(folder: &Path, picture: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    let made = folder.join("made.jpg");
    std::fs::write(&made, picture).unwrap();
    let script = format!("#!/bin/sh\n/bin/cat '{}' > \"$4\"\n", made.display());
    let staged = folder.join("staged");
    std::fs::write(&staged, script).unwrap();
    std::fs::set_permissions(&staged, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(staged, folder.join("heif-convert")).unwrap();
}

impl Node {
    async fn added(&self, form: Form) -> Value {
        let answer = self.upload(form).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        answer.json().await.unwrap()
    }

    async fn picture(&self, file: &Value, size: u32) -> RgbImage {
        let path = thumbnail(file, size);
        let answer = self.get(&path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let bytes = answer.bytes().await.unwrap();
        let picture = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg);
        picture.unwrap().into_rgb8()
    }

    /// Asks until a file is as it should be.
    async fn until(&self, file: &Value, is_right: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/files/{}", file["id"].as_str().unwrap());
        for _ in 0..1000 {
            let now = self.get_json(&path).await;
            if is_right(&now) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} did not change");
    }
}

fn thumbnail(file: &Value, size: u32) -> String {
    format!(
        "/api/v1/files/{}/thumbnail?size={size}",
        file["id"].as_str().unwrap()
    )
}

fn with_sidecar(bytes: &[u8], name: &str, metadata: Option<&Value>, sidecar: &[u8]) -> Form {
    form(bytes, name, metadata).part("sidecar", Part::bytes(sidecar.to_vec()))
}

const SIDECAR: &str = r#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmp:Rating="2" exif:DateTimeOriginal="2001-02-03T04:05:06-03:30">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">From beside</rdf:li></rdf:Alt></dc:title>
<dc:subject><rdf:Bag><rdf:li>beside</rdf:li></rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta>"#;

#[tokio::test]
async fn the_users_word_goes_before_the_sidecars_and_that_before_the_files() {
    let node = Node::start().await;
    let alone = node.added(form(&fixture("xmp.jpg"), "x.jpg", None)).await;
    assert_eq!(alone["title"], "A day at the beach");
    assert_eq!(
        (&alone["rating"], &alone["sources"]["rating"]),
        (&json!(4), &json!("xmp"))
    );
    assert_eq!(alone["people"], json!(["Jane Doe", "John Roe"]));
    assert!(
        alone["location"].as_str().unwrap().contains("London, "),
        "{alone}"
    );
    assert_eq!(alone["place"]["name"], alone["location"]);

    let png = fixture("xmp.png");
    let said = json!({"rating": 5, "tags": ["mine"]});
    let both = node
        .added(with_sidecar(&png, "x.png", Some(&said), SIDECAR.as_bytes()))
        .await;
    assert_eq!(
        (&both["rating"], &both["sources"]["rating"]),
        (&json!(5), &json!("user"))
    );
    assert_eq!(
        (&both["title"], &both["sources"]["title"]),
        (&json!("From beside"), &json!("sidecar"))
    );
    assert_eq!(both["sources"]["description"], "xmp");
    let taken = json!({"local": "2001-02-03T04:05:06", "offset": "-03:30", "source": "sidecar"});
    assert_eq!(both["takenAt"], taken);
    let tags = both["tags"].as_array().unwrap();
    assert_eq!(&tags[..2], [json!("mine"), json!("beside")]);
    assert!(tags.contains(&json!("Places/UK/London")));
    let id = both["id"].as_str().unwrap();
    let history = node.get_json(&format!("/api/v1/files/{id}/history")).await;
    let sources: Vec<_> = history["items"][0]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            (
                change["field"].as_str().unwrap(),
                change["source"].as_str().unwrap(),
            )
        })
        .collect();
    for told in [
        ("title", "sidecar"),
        ("description", "xmp"),
        ("rating", "user"),
        ("takenAt", "sidecar"),
    ] {
        assert!(sources.contains(&told), "{told:?} in {sources:?}");
    }
    let found = node.get_json("/api/v1/files?q=London").await;
    assert_eq!(found["total"], 2, "places in words are found");

    let patch = node
        .call(Method::PATCH, &format!("/api/v1/files/{id}"))
        .header("if-match", "*");
    let cleared: Value = patch
        .json(&json!({"title": null}))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&cleared["title"], &cleared["sources"]["title"]),
        (&Value::Null, &json!("user"))
    );
}

#[tokio::test]
async fn a_sidecar_that_makes_no_sense_is_noted_and_the_file_kept() {
    let node = Node::start().await;
    let jpeg = |seed| encoded(&painting(40, 30, seed), ImageFormat::Jpeg);
    let halved = &SIDECAR.as_bytes()[..SIDECAR.len() / 2];
    let bomb = format!(
        "<!DOCTYPE x [{}]><x:xmpmeta xmlns:x='adobe:ns:meta/'>&e9;</x:xmpmeta>",
        (0..9)
            .map(|at| format!(
                "<!ENTITY e{} \"{}\">",
                at + 1,
                format!("&e{at};").repeat(10)
            ))
            .collect::<String>()
    );
    let deep = "<a>".repeat(200_000);
    for (seed, sidecar) in (0..).zip([
        &b"no XMP at all"[..],
        halved,
        bomb.as_bytes(),
        deep.as_bytes(),
        &[0xff; 1000],
        b"",
    ]) {
        let file = node
            .added(with_sidecar(&jpeg(seed), "a.jpg", None, sidecar))
            .await;
        assert_eq!(file["undecodable"], false);
        let notes = file["notes"].to_string();
        assert!(notes.contains("sidecar"), "{seed}: {notes}");
    }
    let huge = vec![b' '; (1 << 20) + 1];
    let upload = |form| refused(node.upload(form));
    assert_eq!(
        upload(with_sidecar(&jpeg(90), "a", None, &huge)).await,
        is(413, "too_large")
    );
    let twice = with_sidecar(&jpeg(90), "a", None, b"").part("sidecar", Part::text(""));
    assert_eq!(upload(twice).await, is(400, "invalid_multipart"));
    assert_eq!(node.get_json("/api/v1/files").await["total"], 6);
}

#[tokio::test]
async fn a_time_is_never_guessed_and_a_point_has_a_name() {
    let node = Node::start().await;
    let jpeg = |seed| encoded(&painting(40, 30, seed), ImageFormat::Jpeg);
    let plain = node.added(form(&jpeg(1), "DSC_0001.jpg", None)).await;
    assert_eq!(plain["takenAt"], Value::Null);
    let named = node
        .added(form(&jpeg(2), "IMG-20190704-WA0001.jpg", None))
        .await;
    let taken = json!({"local": "2019-07-04T00:00:00", "offset": null, "source": "name"});
    assert_eq!(named["takenAt"], taken);
    let exif = node
        .added(form(&fixture("exif.jpg"), "20010101_000000.jpg", None))
        .await;
    assert_eq!(exif["takenAt"]["source"], "exif");
    assert_eq!(exif["takenAt"]["offset"], "+01:00");
    assert_eq!(exif["place"]["name"], "Lisbon, Lisbon, PT");
}

#[tokio::test]
async fn thumbnails_are_upright_in_every_size_and_known_by_their_tags() {
    let node = Node::start().await;
    // Red at the top left, green at the top right, blue at the bottom left, as it is to be shown.
    let shown = |x: u32, y: u32, width, height| match (x < width / 2, y < height / 2) {
        (true, true) => Rgb([230, 20, 20]),
        (false, true) => Rgb([20, 230, 20]),
        (true, false) => Rgb([20, 20, 230]),
        (false, false) => Rgb([230, 230, 230]),
    };
    let (width, height) = (2000, 1500);
    for orientation in 1..=8 {
        // Where a pixel of the stored picture is shown.
        let stored = |x: u32, y: u32| match orientation {
            1 => (x, y),
            2 => (width - 1 - x, y),
            3 => (width - 1 - x, height - 1 - y),
            4 => (x, height - 1 - y),
            5 => (y, x),
            6 => (width - 1 - y, x),
            7 => (width - 1 - y, height - 1 - x),
            _ => (y, height - 1 - x),
        };
        let (across, down) = if orientation < 5 {
            (width, height)
        } else {
            (height, width)
        };
        let picture = RgbImage::from_fn(across, down, |x, y| {
            let (x, y) = stored(x, y);
            shown(x, y, width, height)
        });
        let file = node
            .added(form(&turned(&picture, orientation), "a.jpg", None))
            .await;
        assert_eq!(
            (&file["width"], &file["height"]),
            (&json!(width), &json!(height))
        );
        for size in [256, 512, 1440] {
            let small = node.picture(&file, size).await;
            assert_eq!(
                (small.width(), small.height()),
                (size, size * 3 / 4),
                "{orientation}"
            );
            for (x, y) in [(1, 1), (3, 1), (1, 3), (3, 3)] {
                let seen = small
                    .get_pixel(small.width() * x / 4, small.height() * y / 4)
                    .0;
                let wanted = shown(x, y, 4, 4).0;
                let near = seen
                    .iter()
                    .zip(wanted)
                    .all(|(seen, wanted)| seen.abs_diff(wanted) < 12);
                assert!(
                    near,
                    "{orientation}, {size}: {seen:?} instead of {wanted:?} at {x}, {y}"
                );
            }
        }
        let first = node.get(&thumbnail(&file, 512)).await;
        assert_eq!(first.headers()["cache-control"], "private, max-age=3600");
        let tag = first.headers()["etag"].clone();
        let again = node
            .call(Method::GET, &thumbnail(&file, 512))
            .header("if-none-match", tag);
        assert_eq!(
            again.send().await.unwrap().status(),
            StatusCode::NOT_MODIFIED
        );
    }
}

#[tokio::test]
async fn a_decoder_on_one_node_shows_pictures_on_all() {
    let tools = tempfile::tempdir().unwrap();
    let set = |at, config: &mut _| {
        if at == 0 {
            finds_decoders(config, tools.path());
        }
    };
    let nodes = Node::cluster_with(3, HttpSecurity::Plain, set).await;
    let [has, lacks, _] = &nodes[..] else {
        panic!()
    };
    let heic = fixture("exif.heic");
    let file = lacks.added(form(&heic, "IMG_1.HEIC", None)).await;
    assert_eq!(
        (&file["needs"], &file["undecodable"]),
        (&json!("libheif"), &json!(true))
    );
    assert!(file["notes"].to_string().contains("without libheif"));
    assert_eq!(
        file["takenAt"]["source"], "exif",
        "metadata needs no decoder"
    );
    let missing = lacks.get(&thumbnail(&file, 512)).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let missing: Value = missing.json().await.unwrap();
    assert_eq!(missing["code"], "no_thumbnail");
    assert!(missing["detail"].as_str().unwrap().contains("libheif"));

    // It is installed on one node.
    let side = |name: &str| u32::try_from(file[name].as_u64().unwrap()).unwrap();
    let picture = painting(side("width"), side("height"), 3);
    install(tools.path(), &encoded(&picture, ImageFormat::Jpeg));
    let now = has.until(&file, |file| file["needs"].is_null()).await;
    assert_eq!(now["undecodable"], false);
    assert!(now["thumbhash"].is_string() && now["perceptualHash"].is_string());
    assert!(!now["notes"].to_string().contains("libheif"), "{now}");
    let id = now["id"].as_str().unwrap();
    let history = has.get_json(&format!("/api/v1/files/{id}/history")).await;
    assert_eq!(history["items"][1]["kind"], "pictured");
    for node in &nodes {
        let small = node.picture(&file, 256).await;
        assert!(small.width() <= 256, "{}", node.name);
    }
    // The next one is decoded as it comes in.
    let other = has
        .added(form(&fixture("xmp.heic"), "IMG_2.HEIC", None))
        .await;
    assert_eq!(other["needs"], Value::Null, "{other}");
}

#[tokio::test]
async fn a_file_that_a_decoder_cannot_read_is_not_tried_for_ever() {
    let tools = tempfile::tempdir().unwrap();
    install(tools.path(), b"no picture");
    let set = |_, config: &mut _| finds_decoders(config, tools.path());
    let node = Node::cluster_with(1, HttpSecurity::Plain, set)
        .await
        .pop()
        .unwrap();
    let file = node
        .added(form(&fixture("exif.heic"), "a.heic", None))
        .await;
    assert_eq!(
        (&file["needs"], &file["undecodable"]),
        (&Value::Null, &json!(true))
    );
    let answer = refused(node.call(Method::GET, &thumbnail(&file, 256))).await;
    assert_eq!(answer, is(404, "no_thumbnail"));
    let original = node
        .get(&format!(
            "/api/v1/files/{}/content",
            file["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(original.bytes().await.unwrap(), fixture("exif.heic"));
}

/// Puts a picture of a file.
fn put(node: &Node, file: &Value, media_type: &str, bytes: Vec<u8>) -> reqwest::RequestBuilder {
    let path = format!("/api/v1/files/{}/preview", file["id"].as_str().unwrap());
    let request = node.call(Method::PUT, &path);
    request.header("content-type", media_type).body(bytes)
}

#[tokio::test]
async fn what_is_no_picture_is_not_taken_for_one() {
    let node = Node::start().await;
    let file = node.added(form(b"text", "a.txt", None)).await;
    let png = encoded(&painting(60, 40, 1), ImageFormat::Png);
    let refused = async |media_type, bytes| refused(put(&node, &file, media_type, bytes)).await;
    let gif = refused("image/gif", png.clone()).await;
    assert_eq!(gif, is(415, "unsupported_media_type"));
    let cut = png[..png.len() / 2].to_vec();
    assert_eq!(refused("image/png", cut).await, is(422, "invalid_preview"));
    let text = b"<svg/>".to_vec();
    assert_eq!(refused("image/png", text).await, is(422, "invalid_preview"));
    let limit = node.get_json("/api/v1/limits").await["previewBytes"].as_u64();
    let huge = vec![0; usize::try_from(limit.unwrap()).unwrap() + 1];
    assert_eq!(refused("image/png", huge).await, is(413, "too_large"));
    let nowhere = json!({"id": "ab".repeat(32)});
    let answer = super::refused(put(&node, &nowhere, "image/png", png)).await;
    assert_eq!(answer, is(404, "not_found"));
}

#[tokio::test]
async fn a_picture_that_a_client_supplies_is_shown_on_every_node_and_purged_with_its_file() {
    let nodes = Node::cluster(3, HttpSecurity::Plain).await;
    let [first, second, third] = &nodes[..] else {
        panic!()
    };
    let file = first
        .added(form(&fixture("exif.heic"), "a.heic", None))
        .await;
    let png = encoded(&painting(600, 400, 1), ImageFormat::Png);
    let kept = put(first, &file, "image/png", png).send().await.unwrap();
    let height = kept.headers()["starling-height"].clone();
    assert_eq!(kept.status(), StatusCode::OK);
    let kept: Value = kept.json().await.unwrap();
    let preview = kept["preview"].as_str().unwrap().to_owned();
    assert_eq!(kept["needs"], "libheif", "the file itself still waits");
    for node in [second, third] {
        let request = node.call(Method::GET, &thumbnail(&file, 256));
        let shown = request.header("starling-min-height", height.clone());
        let shown = shown.send().await.unwrap();
        assert_eq!(shown.headers()["etag"], format!("\"{preview}-256\""));
        let small = node.picture(&file, 256).await;
        assert_eq!((small.width(), small.height()), (256, 171));
    }
    let path = format!("/api/v1/files/{}?purge=true", kept["id"].as_str().unwrap());
    let purge = first.call(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(purge.status(), StatusCode::ACCEPTED);
    let purge: Value = purge.json().await.unwrap();
    let operation = format!("/api/v1/operations/{}", purge["id"].as_str().unwrap());
    for _ in 0..1000 {
        if first.get_json(&operation).await["state"] == "done" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for node in &nodes {
        assert!(!node.blob_path(&preview).exists(), "{}", node.name);
    }
    // Their erasers are at work: they end before the runtime does.
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn pictures_that_look_the_same_are_in_one_group_on_every_page() {
    let node = Node::start().await;
    let mut expected = Vec::new();
    for seed in 1..=3 {
        let picture = painting(640, 480, seed);
        let large = node
            .added(form(&encoded(&picture, ImageFormat::Png), "a.png", None))
            .await;
        let small = image::imageops::thumbnail(&picture, 320, 240);
        let small = node
            .added(form(&encoded(&small, ImageFormat::Jpeg), "a.jpg", None))
            .await;
        let mut ids = [large, small].map(|file| file["id"].as_str().unwrap().to_owned());
        ids.sort();
        expected.push(ids);
    }
    expected.sort();
    node.added(form(
        &encoded(&painting(640, 480, 9), ImageFormat::Png),
        "b.png",
        None,
    ))
    .await;
    node.added(form(b"text", "b.txt", None)).await;
    let ids = |page: &Value| -> Vec<Vec<String>> {
        let groups = page["items"].as_array().unwrap().iter();
        let ids = groups.map(|group| {
            let files = group["files"].as_array().unwrap().iter();
            files
                .map(|file| file["id"].as_str().unwrap().to_owned())
                .collect()
        });
        ids.collect()
    };
    let whole = node.get_json("/api/v1/duplicates").await;
    assert_eq!(ids(&whole), expected);
    assert_eq!(
        (&whole["items"][0]["total"], &whole["nextCursor"]),
        (&json!(2), &Value::Null)
    );
    let mut paged = Vec::new();
    let mut path = "/api/v1/duplicates?limit=1".to_owned();
    loop {
        let page = node.get_json(&path).await;
        paged.extend(ids(&page));
        // What comes in meanwhile changes nothing for the pages to come.
        node.added(form(path.as_bytes(), "c.txt", None)).await;
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/duplicates?limit=1&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged, expected);
    let trash = node.call(Method::DELETE, &format!("/api/v1/files/{}", expected[0][0]));
    assert_eq!(trash.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(
        ids(&node.get_json("/api/v1/duplicates").await),
        expected[1..]
    );
    for (query, code) in [
        ("distance=12", "invalid_parameter"),
        ("cursor=x", "invalid_cursor"),
    ] {
        let request = node.call(Method::GET, &format!("/api/v1/duplicates?{query}"));
        assert_eq!(refused(request).await, is(400, code));
    }
}

/// A picture of colossal size in a few bytes, an index that points at itself, and the like.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let mut bomb = encoded(&painting(8, 8, 1), ImageFormat::Png);
    bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let mut loop_ = b"II*\0\x08\0\0\0".to_vec();
    loop_.extend([1, 0, 0x69, 0x87, 4, 0, 1, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0]);
    let mut boxes = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec();
    boxes.extend(b"\0\0\0\x10meta\0\0\0\0".repeat(3000));
    let film = [
        &b"\0\0\0\x14ftypisom\0\0\0\0isom"[..],
        &b"\xff\xff\xff\xffmoov".repeat(2000),
    ]
    .concat();
    vec![
        ("bomb.png", bomb),
        ("loop.tif", loop_),
        ("boxes.heic", boxes),
        ("film.mp4", film),
    ]
}

#[tokio::test]
async fn hostile_and_cut_files_are_kept_as_they_are() {
    let node = Node::start().await;
    let mut sent = hostile();
    for name in [
        "all.jpg",
        "xmp.tiff",
        "xmp.webp",
        "xmp.heic",
        "turned.mov",
        "preview.nef",
        "preview.raf",
        "iptc.tiff",
    ] {
        let whole = fixture(name);
        sent.extend((1..10).map(|tenth| (name, whole[..whole.len() * tenth / 10].to_vec())));
    }
    for (name, bytes) in sent {
        let added = node.upload(form(&bytes, name, None)).send().await.unwrap();
        // Two tenths of a file can be the same file.
        assert!(
            added.status().is_success(),
            "{name}, {} bytes: {}",
            bytes.len(),
            added.status()
        );
        let file: Value = added.json().await.unwrap();
        let content = node
            .get(&format!(
                "/api/v1/files/{}/content",
                file["id"].as_str().unwrap()
            ))
            .await;
        assert_eq!(content.bytes().await.unwrap(), bytes, "{name}");
        let small = node.get(&thumbnail(&file, 1440)).await.status();
        assert!(
            [StatusCode::OK, StatusCode::NOT_FOUND].contains(&small),
            "{name}: {small}"
        );
    }
}

/// Folders in which programs of this machine are.
fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| folder.join(program).is_file())
}

#[tokio::test]
async fn the_programs_of_this_machine_decode_what_others_wrote() {
    let mut any = false;
    for (program, name) in [
        ("heif-dec", "xmp.heic"),
        ("heif-convert", "xmp.heic"),
        ("ffmpeg", "turned.mov"),
    ] {
        let Some(folder) = installed(program) else {
            println!("skipped: {program} is not installed");
            continue;
        };
        any = true;
        let set = |_, config: &mut _| finds_decoders(config, &folder);
        let node = Node::cluster_with(1, HttpSecurity::Plain, set)
            .await
            .pop()
            .unwrap();
        let file = node.added(form(&fixture(name), name, None)).await;
        println!("{program}: {} {}", file["needs"], file["notes"]);
        assert_eq!(file["needs"], Value::Null, "{program}: {file}");
    }
    if !any {
        println!("skipped: neither libheif's programs nor ffmpeg are installed");
    }
}

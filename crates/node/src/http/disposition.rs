//! How an original is handed to a browser (RFC 6266): shown in place or saved, and under which name.
//!
//! Only what a browser cannot run is shown in place. A picture in SVG or a page in HTML is a program as well, and would
//! act in the name of whoever opens it.

use std::fmt::Write as _;

use axum::http::HeaderValue;

/// Whether the bytes are for the screen or for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Shown if that is safe.
    View,
    /// Saved.
    Download,
}

/// `Content-Disposition` of an original.
pub(crate) fn disposition(purpose: Use, media_type: &str, name: &str) -> HeaderValue {
    let kind = match purpose {
        Use::View if is_harmless(media_type) => "inline",
        Use::View | Use::Download => "attachment",
    };
    let value = format!(
        "{kind}; filename=\"{}\"; filename*=UTF-8''{}",
        plain(name),
        encoded(name)
    );
    HeaderValue::try_from(value).expect("plain and encoded names are visible ASCII")
}

/// Raster pictures, sound and film.
fn is_harmless(media_type: &str) -> bool {
    const PICTURES: [&str; 9] = [
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/webp",
        "image/avif",
        "image/heic",
        "image/heif",
        "image/tiff",
        "image/bmp",
    ];
    PICTURES.contains(&media_type)
        || media_type.starts_with("audio/")
        || media_type.starts_with("video/")
}

/// The name for clients that know no other encoding: what is not harmless ASCII becomes an underscore.
fn plain(name: &str) -> String {
    let harmless =
        |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/' | '%') || c == ' ';
    name.chars()
        .map(|c| if harmless(c) { c } else { '_' })
        .collect()
}

/// The name in the encoding of RFC 8187. Slashes go: clients take the name for a path.
fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'/' | b'\\' => out.push('_'),
            b if b.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&b) => out.push(b.into()),
            b => write!(out, "%{b:02X}").expect("a string takes everything"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_in_both_forms() {
        let header = disposition(Use::View, "image/jpeg", "été \"1\".jpg");
        assert_eq!(
            header,
            "inline; filename=\"_t_ _1_.jpg\"; filename*=UTF-8''%C3%A9t%C3%A9%20%221%22.jpg"
        );
    }

    #[test]
    fn a_name_is_never_a_path_and_never_a_header() {
        let header = disposition(Use::View, "image/png", "../../etc/passwd\r\nX: y");
        let text = header.to_str().unwrap();
        assert!(
            !text.contains('/') && !text.contains('\r') && !text.contains('\n'),
            "{text}"
        );
    }

    #[test]
    fn only_what_cannot_run_is_shown_in_place() {
        let kind = |purpose, media_type| {
            let header = disposition(purpose, media_type, "x");
            header
                .to_str()
                .unwrap()
                .split(';')
                .next()
                .unwrap()
                .to_owned()
        };
        for shown in ["image/jpeg", "image/heic", "video/mp4", "audio/mpeg"] {
            assert_eq!(kind(Use::View, shown), "inline", "{shown}");
            assert_eq!(kind(Use::Download, shown), "attachment", "{shown}");
        }
        for saved in [
            "image/svg+xml",
            "text/html",
            "application/pdf",
            "application/octet-stream",
            "",
        ] {
            assert_eq!(kind(Use::View, saved), "attachment", "{saved}");
        }
    }
}

//! An XMP file beside an exported original: what other programs understand of what is said of it.
//!
//! Headings, texts, tags as trees, stars, time, place and people stand where those programs look for them. People's own fields
//! and what only we know stand in namespaces of ours. What has no place in XMP is in the manifest.

use std::fmt::Write as _;

use serde_json::Value;

use crate::output::{at, list_at};

/// By which a sidecar of ours is known again.
pub(super) const TOOLKIT: &str = "x:xmptk=\"Starling export";

const HEAD: &str = "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
<x:xmpmeta xmlns:x=\"adobe:ns:meta/\" x:xmptk=\"Starling export 1\">\n\
 <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n\
  <rdf:Description rdf:about=\"\"\n\
    xmlns:dc=\"http://purl.org/dc/elements/1.1/\"\n\
    xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\"\n\
    xmlns:exif=\"http://ns.adobe.com/exif/1.0/\"\n\
    xmlns:photoshop=\"http://ns.adobe.com/photoshop/1.0/\"\n\
    xmlns:lr=\"http://ns.adobe.com/lightroom/1.0/\"\n\
    xmlns:digiKam=\"http://www.digikam.org/ns/1.0/\"\n\
    xmlns:Iptc4xmpCore=\"http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/\"\n\
    xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\"\n\
    xmlns:starling=\"urn:starling:xmp:1.0/\"\n\
    xmlns:field=\"urn:starling:xmp:1.0:field/\">\n";
const FOOT: &str = "  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"w\"?>\n";

/// The sidecar of a file, from its line in the manifest.
pub(super) fn of(line: &Value) -> String {
    let mut xmp = Xmp(HEAD.to_owned());
    xmp.words(line);
    xmp.tags(line);
    xmp.time(line);
    xmp.place(line);
    xmp.ours(line);
    xmp.0 + FOOT
}

struct Xmp(String);

impl Xmp {
    fn words(&mut self, line: &Value) {
        for (name, pointer) in [("dc:title", "/title"), ("dc:description", "/description")] {
            if let Some(text) = at(line, pointer).as_str() {
                self.language(name, text);
            }
        }
        if let Some(rating) = at(line, "/rating").as_u64() {
            self.simple("xmp:Rating", &rating.to_string());
        }
        let people = list_at(line, "/people").iter().filter_map(Value::as_str);
        self.list("Iptc4xmpExt:PersonInImage", "Bag", people);
    }

    /// The last name of each tag for programs that know no trees, and the whole ways in the notations of those that do.
    fn tags(&mut self, line: &Value) {
        let tags: Vec<&str> = list_at(line, "/tags")
            .iter()
            .filter_map(|tag| at(tag, "/tag").as_str())
            .collect();
        let leaves = tags.iter().filter_map(|tag| tag.rsplit('/').next());
        self.list("dc:subject", "Bag", leaves);
        // Where the sign between names is part of a name, this notation would say something else.
        let ways = tags.iter().filter(|tag| !tag.contains('|'));
        let ways: Vec<String> = ways.map(|tag| tag.replace('/', "|")).collect();
        let ways = ways.iter().map(String::as_str);
        self.list("lr:hierarchicalSubject", "Bag", ways);
        self.list("digiKam:TagsList", "Seq", tags.iter().copied());
    }

    fn time(&mut self, line: &Value) {
        let Some(local) = at(line, "/takenAt/local").as_str() else {
            return;
        };
        let offset = at(line, "/takenAt/offset").as_str().unwrap_or_default();
        let time = format!("{local}{offset}");
        self.simple("exif:DateTimeOriginal", &time);
        self.simple("photoshop:DateCreated", &time);
    }

    fn place(&mut self, line: &Value) {
        let number = |pointer| at(line, pointer).as_str()?.parse::<f64>().ok();
        if let Some((lat, lon)) = number("/place/lat").zip(number("/place/lon")) {
            self.simple("exif:GPSVersionID", "2.3.0.0");
            self.simple("exif:GPSLatitude", &degrees(lat, ['N', 'S']));
            self.simple("exif:GPSLongitude", &degrees(lon, ['E', 'W']));
        }
        if let Some(metres) = number("/place/altitude") {
            let millimetres = (metres.abs() * 1000.0).round();
            let below = if metres < 0.0 { "1" } else { "0" };
            self.simple("exif:GPSAltitudeRef", below);
            self.simple("exif:GPSAltitude", &format!("{millimetres}/1000"));
        }
        let names = ["/place/name", "/location"];
        let mut names = names.iter().filter_map(|name| at(line, name).as_str());
        if let Some(name) = names.next() {
            self.simple("Iptc4xmpCore:Location", name);
        }
    }

    fn ours(&mut self, line: &Value) {
        let text = |pointer| at(line, pointer).as_str().unwrap_or_default();
        self.simple("starling:Id", text("/id"));
        self.simple("starling:Name", text("/name"));
        self.simple("starling:State", text("/state"));
        if at(line, "/favourite") == true {
            self.simple("starling:Favourite", "True");
        }
        let Some(fields) = at(line, "/fields").as_object() else {
            return;
        };
        for (name, own) in fields {
            let values: Vec<String> = list_at(own, "/values").iter().map(own_text).collect();
            let values = values.iter().map(String::as_str);
            self.list(&format!("field:{name}"), "Seq", values);
        }
    }

    fn simple(&mut self, name: &str, text: &str) {
        self.write(format_args!("   <{name}>{}</{name}>\n", escaped(text)));
    }

    /// A text in no language in particular.
    fn language(&mut self, name: &str, text: &str) {
        let text = escaped(text);
        self.write(format_args!(
            "   <{name}><rdf:Alt><rdf:li xml:lang=\"x-default\">{text}</rdf:li></rdf:Alt></{name}>\n"
        ));
    }

    fn list<'a>(&mut self, name: &str, kind: &str, items: impl Iterator<Item = &'a str>) {
        let items: Vec<String> = items
            .map(|item| format!("<rdf:li>{}</rdf:li>", escaped(item)))
            .collect();
        if !items.is_empty() {
            let items = items.concat();
            self.write(format_args!(
                "   <{name}><rdf:{kind}>{items}</rdf:{kind}></{name}>\n"
            ));
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a String grows");
    }
}

fn own_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) => {
            let text = |pointer| at(value, pointer).as_str().unwrap_or_default();
            format!("{},{}", text("/lat"), text("/lon"))
        }
        other => other.to_string(),
    }
}

/// `51,30.246N`: degrees and minutes, fine enough for a tenth of a millimetre.
fn degrees(value: f64, [positive, negative]: [char; 2]) -> String {
    let sign = if value < 0.0 { negative } else { positive };
    let whole = value.abs().trunc();
    let minutes = (value.abs() - whole) * 60.0;
    if minutes >= 59.999_999_95 {
        return format!("{},0.0000000{sign}", whole + 1.0);
    }
    format!("{whole},{minutes:.7}{sign}")
}

/// Text in XML; characters that may stand in no XML are left out.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\r' => safe.push_str("&#xD;"),
            '\t' | '\n' => safe.push(c),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_ascii_control() => {}
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn positions_have_degrees_and_minutes() {
        assert_eq!(degrees(51.5041, ['N', 'S']), "51,30.2460000N");
        assert_eq!(degrees(-0.5, ['E', 'W']), "0,30.0000000W");
        assert_eq!(degrees(9.999_999_999_999, ['E', 'W']), "10,0.0000000E");
    }

    #[test]
    fn texts_break_out_of_nothing() {
        let line = json!({"title": "</dc:title>\"&'\u{1b}[2J\u{0}", "tags": [{"tag": "a|b/<c>"}]});
        let xmp = of(&line);
        assert!(xmp.contains("&lt;/dc:title&gt;&quot;&amp;'[2J<"), "{xmp}");
        assert!(!xmp.contains("lr:hierarchicalSubject><"), "{xmp}");
        assert!(xmp.contains("<rdf:li>a|b/&lt;c&gt;</rdf:li>"), "{xmp}");
    }
}
